import { Args } from '@oclif/core'
import { MODELS } from '../../daemon/models/registry.js'
import { BaseCommand } from '../_shared/base-command.js'
import { removeNames, type RemoveResult } from '../_shared/names/remove.js'

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
    return removeNames(this, MODELS, argv as string[])
  }
}
