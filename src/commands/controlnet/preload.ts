import { Args, Flags } from '@oclif/core'
import type { Preloaded } from '../../daemon/protocol/preload.js'
import { BaseCommand } from '../_shared/base-command.js'
import { modelReference } from '../_shared/model-reference.js'
import { preloadedLines, preloadOnDaemon } from '../_shared/preload.js'

export default class ControlNetPreload extends BaseCommand {
  static override summary = 'Load ControlNets before a job asks for them.'

  static override description =
    'They are loaded on the devices that run ControlNets. With --pin they stay there whatever the memory budget says.'

  static override examples = [
    '<%= config.bin %> controlnet preload canny depth --model demo',
    '<%= config.bin %> controlnet preload canny --pin',
  ]

  static override strict = false

  static override args = {
    name: Args.string({ description: 'Names or paths of ControlNets.', required: true }),
  }

  static override flags = {
    model: Flags.string({
      description: 'The model that they will be used with.',
      env: 'SWIFTD_MODEL',
      default: 'demo',
      helpValue: 'NAME|PATH',
    }),
    pin: Flags.boolean({ description: 'Keep them; --no-pin lets them go again.', allowNo: true }),
  }

  async run(): Promise<{ preloaded: Preloaded[] }> {
    const { argv, flags } = await this.parse(ControlNetPreload)
    const preloaded = await preloadOnDaemon({
      ...{ kind: 'controlnet', names: (argv as string[]).map(modelReference), model: modelReference(flags.model) },
      ...(flags.pin !== undefined && { pinned: flags.pin }),
    })
    if (!this.jsonEnabled()) for (const line of preloadedLines(preloaded)) this.log(line)
    return { preloaded }
  }
}
