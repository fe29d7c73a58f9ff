import { Args } from '@oclif/core'
import { removeModel, type RemovedModel } from '../../daemon/models/remove.js'
import { openModelStore } from '../../daemon/models/store.js'
import { BaseCommand } from '../_shared/base-command.js'

/** What --json prints. */
export interface RemoveResult {
  readonly removed: readonly RemovedModel[]
}

export default class ModelRemove extends BaseCommand {
  static override summary = 'Forget models.'

  static override description =
    'Deletes the files of models that were pulled. Files that were registered where they lie are never touched. Names ' +
    'must be whole here.'

  static override examples = ['<%= config.bin %> model rm fox', '<%= config.bin %> model rm fox:v1 fox:v2']

  static override strict = false

  static override args = {
    name: Args.string({ description: 'Name of a model; several may be given.', required: true }),
  }

  async run(): Promise<RemoveResult> {
    const { argv } = await this.parse(ModelRemove)
    const store = openModelStore()
    const removed: RemovedModel[] = []
    for (const name of argv as string[]) {
      const model = removeModel(store, name)
      removed.push(model)
      if (!this.jsonEnabled()) this.log(`Removed ${model.name}${model.filesDeleted ? ' and its files' : ''}`)
    }
    return { removed }
  }
}
