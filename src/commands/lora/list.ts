import { LORAS } from '../../daemon/models/adapters.js'
import { BaseCommand } from '../_shared/base-command.js'
import { LIST_FLAGS, listNames, type ListedNames } from '../_shared/names/list.js'

/** What --json prints. */
export interface ListResult extends Pick<ListedNames, 'damaged'> {
  readonly loras: ListedNames['listed']
}

export default class LoraList extends BaseCommand {
  static override summary = 'List the LoRAs that have a name.'

  static override aliases = ['lora:ls']

  static override examples = [
    '<%= config.bin %> lora list',
    '<%= config.bin %> lora list -q',
    '<%= config.bin %> lora list --json',
  ]

  static override flags = LIST_FLAGS

  async run(): Promise<ListResult> {
    const { flags } = await this.parse(LoraList)
    const { listed, damaged } = await listNames(this, LORAS, flags)
    return { loras: listed, damaged }
  }
}
