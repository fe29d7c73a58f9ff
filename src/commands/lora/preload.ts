import { Args, Flags } from '@oclif/core'
import type { Preloaded } from '../../daemon/protocol/preload.js'
import { LIMITS } from '../../daemon/protocol/limits.js'
import { BaseCommand } from '../_shared/base-command.js'
import { numberFlag } from '../_shared/flags.js'
import { modelReference } from '../_shared/model-reference.js'
import { preloadedLines, preloadOnDaemon } from '../_shared/preload.js'

export default class LoraPreload extends BaseCommand {
  static override summary = 'Make LoRAs ready before a job asks for them.'

  static override description =
    'With --model the weights that they change are computed on every device that runs base models; a job with the same ' +
    'LoRAs and scales then waits for nothing. Without it the files are only read and checked.'

  static override examples = [
    '<%= config.bin %> lora preload stripes --model demo',
    '<%= config.bin %> lora preload stripes neon --model demo --weights 0.8 --together',
  ]

  static override strict = false

  static override args = {
    name: Args.string({ description: 'Names or paths of LoRAs.', required: true }),
  }

  static override flags = {
    model: Flags.string({ description: 'Compute the overlays for this model.', helpValue: 'NAME|PATH' }),
    weights: numberFlag('weights', {
      description: 'How strongly they will be applied. By default 1.',
      env: 'SWIFTD_LORA_WEIGHTS',
      range: LIMITS.loraScale,
    }),
    together: Flags.boolean({ description: 'All of them at once, as a job with all of them uses them.' }),
  }

  async run(): Promise<{ preloaded: Preloaded[] }> {
    const { argv, flags } = await this.parse(LoraPreload)
    const preloaded = await preloadOnDaemon({
      ...{ kind: 'lora', names: (argv as string[]).map(modelReference), together: flags.together },
      ...(flags.model !== undefined && { model: modelReference(flags.model) }),
      ...(flags.weights !== undefined && { scale: flags.weights }),
    })
    if (!this.jsonEnabled()) for (const line of preloadedLines(preloaded)) this.log(line)
    return { preloaded }
  }
}
