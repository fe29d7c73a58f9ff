import { Args } from '@oclif/core'
import { CONTROLNETS } from '../../daemon/models/adapters.js'
import { BaseCommand } from '../_shared/base-command.js'
import { ADD_FLAGS, addAdapter, type AddAdapterResult } from '../_shared/names/add.js'

export default class ControlNetAdd extends BaseCommand {
  static override summary = 'Give a ControlNet on this machine a name.'

  static override description =
    'Looks into the ControlNet to see that it is one. Its weights stay where they are; nothing is copied or converted.'

  static override examples = [
    '<%= config.bin %> controlnet add ./control_v11p_sd15_canny.safetensors',
    '<%= config.bin %> controlnet add ./controlnet-depth-sdxl --name depth-xl',
  ]

  static override args = {
    path: Args.string({ description: 'A diffusers folder or a .safetensors file.', required: true }),
  }

  static override flags = ADD_FLAGS

  async run(): Promise<AddAdapterResult> {
    const { args, flags } = await this.parse(ControlNetAdd)
    return addAdapter(this, CONTROLNETS, { path: args.path, name: flags.name })
  }
}
