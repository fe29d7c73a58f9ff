import { MODELS } from '../../daemon/models/registry.js'
import { BaseCommand } from '../_shared/base-command.js'
import { LIST_FLAGS, listNames, type ListedNames } from '../_shared/names/list.js'

/** What --json prints. */
export interface ListResult extends Pick<ListedNames, 'damaged'> {
  readonly models: ListedNames['listed']
}

export default class ModelList extends BaseCommand {
  static override summary = 'List the models that have a name.'

  static override aliases = ['model:ls']

  static override examples = [
    '<%= config.bin %> model list',
    '<%= config.bin %> model list -q',
    '<%= config.bin %> model list --json',
  ]

  static override flags = LIST_FLAGS

  async run(): Promise<ListResult> {
    const { flags } = await this.parse(ModelList)
    const { listed, damaged } = await listNames(this, MODELS, flags)
    return { models: listed, damaged }
  }
}
