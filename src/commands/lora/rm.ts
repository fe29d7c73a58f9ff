import { Args } from '@oclif/core'
import { LORAS } from '../../daemon/models/adapters.js'
import { BaseCommand } from '../_shared/base-command.js'
import { removeNames, type RemoveResult } from '../_shared/names/remove.js'

export default class LoraRemove extends BaseCommand {
  static override summary = 'Forget LoRAs.'

  static override description = 'Their files are not touched. Names must be whole here.'

  static override examples = ['<%= config.bin %> lora rm fox', '<%= config.bin %> lora rm fox:v1 fox:v2']

  static override strict = false

  static override args = {
    name: Args.string({ description: 'Name of a LoRA; several may be given.', required: true }),
  }

  async run(): Promise<RemoveResult> {
    const { argv } = await this.parse(LoraRemove)
    return removeNames(this, LORAS, argv as string[])
  }
}
