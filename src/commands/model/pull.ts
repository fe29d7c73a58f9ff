import { Args, Flags } from '@oclif/core'
import { hubSettings } from '../../daemon/models/hub/settings.js'
import { pullAndRegister } from '../../daemon/models/pull.js'
import type { ModelRecord } from '../../daemon/models/record.js'
import { openModelStore } from '../../daemon/models/store.js'
import { daemonPaths } from '../../daemon/paths.js'
import { BaseCommand } from '../_shared/base-command.js'
import { listenForInterruption } from '../_shared/interruption.js'
import { MODEL_FLAGS, modelSettings } from '../_shared/model-flags.js'
import { createTransferProgress } from '../_shared/transfer-progress.js'
import { summarise } from './add.js'

/** What --json prints. */
export interface PullResult extends ModelRecord {
  readonly parameters: number
  /** The files that had to be downloaded. */
  readonly downloaded: readonly string[]
}

export default class ModelPull extends BaseCommand {
  static override summary = 'Download a model from the Hugging Face hub and give it a name.'

  static override description =
    'Downloads only what swiftd reads: configurations, tokenizers and one .safetensors file for each component. Every file ' +
    'is verified; a download that was broken off goes on where it stopped. HF_TOKEN opens private models, HF_HOME shares ' +
    'the cache of other programs, HF_ENDPOINT names another hub, and HF_HUB_OFFLINE=1 takes what was downloaded before.'

  static override examples = [
    '<%= config.bin %> model pull stable-diffusion-v1-5/stable-diffusion-v1-5 --variant fp16 --name sd15',
    '<%= config.bin %> model pull OWNER/REPO@refs/pr/1',
    '<%= config.bin %> model pull OWNER/REPO/dreamshaper_8.safetensors',
  ]

  static override args = {
    model: Args.string({
      description: 'OWNER/REPO[@REVISION] or OWNER/REPO/FILE.safetensors[@REVISION].',
      required: true,
    }),
  }

  static override flags = {
    ...MODEL_FLAGS,
    quiet: Flags.boolean({ char: 'q', description: 'Show no progress.', env: 'SWIFTD_QUIET' }),
  }

  async run(): Promise<PullResult> {
    const { args, flags } = await this.parse(ModelPull)
    const store = openModelStore()
    const settings = hubSettings(process.env, store.directory)
    const progress = createTransferProgress({ quiet: flags.quiet })
    const interruption = listenForInterruption({ timeoutSeconds: undefined })
    try {
      const { downloaded, ...model } = await pullAndRegister(
        { address: args.model, ...modelSettings(flags) },
        {
          ...{ store, settings, cacheDirectory: daemonPaths().cacheDirectory, signal: interruption.signal },
          onProgress: (state) => progress.update(state),
        },
      )
      progress.close()
      const what = downloaded.length === 0 ? 'Up to date:' : 'Pulled'
      if (!this.jsonEnabled()) this.log(`${what} ${summarise(model)}`)
      return { ...model.record, parameters: model.description.parameters, downloaded }
    } finally {
      progress.close()
      interruption.dispose()
    }
  }
}
