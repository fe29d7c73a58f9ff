import { Args } from '@oclif/core'
import { CONTROLNETS } from '../../daemon/models/adapters.js'
import { BaseCommand } from '../_shared/base-command.js'
import { removeNames, type RemoveResult } from '../_shared/names/remove.js'

export default class ControlNetRemove extends BaseCommand {
  static override summary = 'Forget ControlNets.'

  static override description = 'Their files are not touched. Names must be whole here.'

  static override examples = ['<%= config.bin %> controlnet rm fox', '<%= config.bin %> controlnet rm fox:v1 fox:v2']

  static override strict = false

  static override args = {
    name: Args.string({ description: 'Name of a ControlNet; several may be given.', required: true }),
  }

  async run(): Promise<RemoveResult> {
    const { argv } = await this.parse(ControlNetRemove)
    return removeNames(this, CONTROLNETS, argv as string[])
  }
}
