import { resolve } from 'node:path'
import { Args } from '@oclif/core'
import { formatBytes, formatCount } from '../../daemon/models/format.js'
import { shortModelName } from '../../daemon/models/names.js'
import type { ModelRecord } from '../../daemon/models/record.js'
import { registerModel, type RegisteredModel } from '../../daemon/models/register.js'
import { openModelStore } from '../../daemon/models/store.js'
import { daemonPaths } from '../../daemon/paths.js'
import { BaseCommand } from '../_shared/base-command.js'
import { MODEL_FLAGS, modelSettings } from '../_shared/model-flags.js'

/** What --json prints. */
export interface AddResult extends ModelRecord {
  readonly parameters: number
}

export default class ModelAdd extends BaseCommand {
  static override summary = 'Give a model on this machine a name.'

  static override description =
    'Opens the model to see that it is one. Its weights stay where they are; nothing is copied or converted.'

  static override examples = [
    '<%= config.bin %> model add ./dreamshaper_8.safetensors',
    '<%= config.bin %> model add ./my-model --name fox:v2 --variant fp16',
    '<%= config.bin %> model add ./tiny.safetensors --config ./tiny-folder --vae ./better-vae.safetensors',
  ]

  static override args = {
    path: Args.string({ description: 'A diffusers folder or a .safetensors file.', required: true }),
  }

  static override flags = MODEL_FLAGS

  async run(): Promise<AddResult> {
    const { args, flags } = await this.parse(ModelAdd)
    const model = await registerModel(
      { path: resolve(args.path), ...modelSettings(flags) },
      { store: openModelStore(), cacheDirectory: daemonPaths().cacheDirectory },
    )
    if (!this.jsonEnabled()) this.log(`Added ${summarise(model)}`)
    return { ...model.record, parameters: model.description.parameters }
  }
}

/** One line for people. */
export function summarise({ record, description }: RegisteredModel): string {
  const { family, task, parameters, dtype, bytes } = description
  const details = [family, ...(task === 'inpainting' ? [task] : []), `${formatCount(parameters)} parameters`, dtype]
  return `${shortModelName(record.name)} (${[...details, formatBytes(bytes)].join(', ')})`
}
