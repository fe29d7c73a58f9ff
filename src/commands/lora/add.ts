import { Args } from '@oclif/core'
import { LORAS } from '../../daemon/models/adapters.js'
import { BaseCommand } from '../_shared/base-command.js'
import { ADD_FLAGS, addAdapter, type AddAdapterResult } from '../_shared/names/add.js'

export default class LoraAdd extends BaseCommand {
  static override summary = 'Give a LoRA on this machine a name.'

  static override description =
    'Looks into the LoRA to see that it is one. Its weights stay where they are; nothing is copied or converted.'

  static override examples = [
    '<%= config.bin %> lora add ./pixel-art.safetensors',
    '<%= config.bin %> lora add ./lcm-lora.safetensors --name lcm',
  ]

  static override args = {
    path: Args.string({ description: 'A .safetensors file.', required: true }),
  }

  static override flags = ADD_FLAGS

  async run(): Promise<AddAdapterResult> {
    const { args, flags } = await this.parse(LoraAdd)
    return addAdapter(this, LORAS, { path: args.path, name: flags.name })
  }
}
