import { Args } from '@oclif/core'
import { formatAge, formatBytes, formatCount, formatTable } from '../../daemon/models/format.js'
import { inspectModel, type ModelDescription } from '../../daemon/models/inspect.js'
import type { ModelRecord } from '../../daemon/models/record.js'
import { MODELS } from '../../daemon/models/registry.js'
import { BaseCommand } from '../_shared/base-command.js'
import { describeLines, findShown } from '../_shared/names/show.js'

/** What --json prints: what the files say, and what the record says where the model has one. */
export interface ShowResult
  extends
    ModelDescription,
    Partial<Pick<ModelRecord, 'configuration' | 'vae' | 'variant' | 'added' | 'digest' | 'pulled'>> {
  /** The short name, or the path that was asked for. */
  readonly name: string
}

export default class ModelShow extends BaseCommand {
  static override summary = 'Show what a model is made of.'

  static override examples = [
    '<%= config.bin %> model show demo',
    '<%= config.bin %> model show ./dreamshaper_8.safetensors --json',
  ]

  static override args = {
    model: Args.string({ description: 'Name of a model, a beginning of it, or a path.', required: true }),
  }

  async run(): Promise<ShowResult> {
    const { args } = await this.parse(ModelShow)
    const { entry, record } = findShown(MODELS, args.model)
    const result = {
      ...recordOf(record),
      ...inspectModel(entry.path, entry.options),
      name: entry.name,
      path: entry.path,
    }
    if (!this.jsonEnabled()) this.log(describe(result))
    return result
  }
}

function recordOf(record: ModelRecord | undefined) {
  if (!record) return {}
  const { configuration, vae, variant, added, digest, pulled } = record
  return { configuration, vae, variant, added, digest, pulled }
}

function describe(model: ShowResult): string {
  const { width, height, scheduler, predictionType, pulled } = model
  const lines: [string, string | undefined][] = [
    ['name', model.name],
    ['family', `${model.family}, ${model.task}`],
    ['parameters', formatCount(model.parameters)],
    ['weights', `${model.dtype}, ${formatBytes(model.bytes)}`],
    ['made for', `${width}x${height}`],
    ['scheduler', `${scheduler}, predicts ${predictionType}`],
    [model.kind, model.path],
    ['configuration', model.configuration],
    ['vae', model.vae],
    ['variant', model.variant],
    [model.kind === 'file' ? 'sha256' : 'digest', model.digest],
    ['pulled from', pulled && `${pulled.repository}@${pulled.commit}`],
    ['added', model.added && formatAge(new Date(model.added))],
  ]
  const components = model.components.map(({ name, parameters, dtype, bytes }) => [
    ...['', name, formatCount(parameters), dtype, formatBytes(bytes)],
  ])
  return `${describeLines(lines)}\ncomponents\n${formatTable(components)}`
}
