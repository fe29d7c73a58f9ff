import { Args } from '@oclif/core'
import { CONTROLNETS } from '../../daemon/models/adapters.js'
import { formatAge, formatBytes, formatCount } from '../../daemon/models/format.js'
import { inspectControlNetFile, type ControlNetDescription } from '../../daemon/models/inspect-adapter.js'
import type { AdapterRecord } from '../../daemon/models/record.js'
import { BaseCommand } from '../_shared/base-command.js'
import { describeLines, findShown } from '../_shared/names/show.js'

/** What --json prints: what the files say, and what the record says where there is one. */
export interface ShowControlNetResult extends ControlNetDescription, Partial<Pick<AdapterRecord, 'added' | 'digest'>> {
  /** The short name, or the path that was asked for. */
  readonly name: string
}

export default class ControlNetShow extends BaseCommand {
  static override summary = 'Show what a ControlNet is made of.'

  static override examples = [
    '<%= config.bin %> controlnet show canny',
    '<%= config.bin %> controlnet show ./control_v11p_sd15_canny.safetensors --json',
  ]

  static override args = {
    controlNet: Args.string({ description: 'Name of a ControlNet, a beginning of it, or a path.', required: true }),
  }

  async run(): Promise<ShowControlNetResult> {
    const { args } = await this.parse(ControlNetShow)
    const { entry, record } = findShown(CONTROLNETS, args.controlNet)
    const { name, path } = entry
    const result = { added: record?.added, digest: record?.digest, ...inspectControlNetFile(path), name, path }
    if (!this.jsonEnabled()) this.log(describe(result))
    return result
  }
}

function describe(controlNet: ShowControlNetResult): string {
  const { family, promptWidth } = controlNet
  return describeLines([
    ['name', controlNet.name],
    ['made for', `${family ? `${family}, ` : ''}prompts ${promptWidth} wide`],
    ['channels', controlNet.channels.join(', ')],
    ['format', `${controlNet.format} names`],
    ['parameters', formatCount(controlNet.parameters)],
    ['weights', `${controlNet.dtype}, ${formatBytes(controlNet.bytes)}`],
    [controlNet.kind, controlNet.path],
    ['digest', controlNet.digest],
    ['added', controlNet.added && formatAge(new Date(controlNet.added))],
  ])
}
