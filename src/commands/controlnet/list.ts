import { CONTROLNETS } from '../../daemon/models/adapters.js'
import { BaseCommand } from '../_shared/base-command.js'
import { LIST_FLAGS, listNames, type ListedNames } from '../_shared/names/list.js'

/** What --json prints. */
export interface ListResult extends Pick<ListedNames, 'damaged'> {
  readonly controlNets: ListedNames['listed']
}

export default class ControlNetList extends BaseCommand {
  static override summary = 'List the ControlNets that have a name.'

  static override aliases = ['controlnet:ls']

  static override examples = [
    '<%= config.bin %> controlnet list',
    '<%= config.bin %> controlnet list -q',
    '<%= config.bin %> controlnet list --json',
  ]

  static override flags = LIST_FLAGS

  async run(): Promise<ListResult> {
    const { flags } = await this.parse(ControlNetList)
    const { listed, damaged } = await listNames(this, CONTROLNETS, flags)
    return { controlNets: listed, damaged }
  }
}
