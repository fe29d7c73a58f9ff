import { Args } from '@oclif/core'
import { LORAS } from '../../daemon/models/adapters.js'
import { formatAge, formatBytes, formatCount, formatTable } from '../../daemon/models/format.js'
import { inspectLora, type LoraDescription } from '../../daemon/models/inspect-adapter.js'
import type { AdapterRecord } from '../../daemon/models/record.js'
import { BaseCommand } from '../_shared/base-command.js'
import { describeLines, findShown } from '../_shared/names/show.js'

/** What --json prints: what the file says, and what the record says where there is one. */
export interface ShowLoraResult extends LoraDescription, Partial<Pick<AdapterRecord, 'added' | 'digest'>> {
  /** The short name, or the path that was asked for. */
  readonly name: string
}

export default class LoraShow extends BaseCommand {
  static override summary = 'Show what a LoRA is made of.'

  static override examples = [
    '<%= config.bin %> lora show stripes',
    '<%= config.bin %> lora show ./pixel-art.safetensors --json',
  ]

  static override args = {
    lora: Args.string({ description: 'Name of a LoRA, a beginning of it, or a path.', required: true }),
  }

  async run(): Promise<ShowLoraResult> {
    const { args } = await this.parse(LoraShow)
    const { entry, record } = findShown(LORAS, args.lora)
    const { name, path } = entry
    const result = { added: record?.added, digest: record?.digest, ...inspectLora(path), name, path }
    if (!this.jsonEnabled()) this.log(describe(result))
    return result
  }
}

function describe(lora: ShowLoraResult): string {
  const { metadata } = lora
  const lines: [string, string | undefined][] = [
    ['name', lora.name],
    ['title', metadata['modelspec.title'] ?? metadata.ss_output_name],
    ['made for', lora.family ?? metadata.ss_base_model_version],
    ['format', lora.format],
    ['rank', lora.ranks.join(', ')],
    ['alpha', lora.alphas.join(', ')],
    ['parameters', formatCount(lora.parameters)],
    ['weights', `${lora.dtype}, ${formatBytes(lora.bytes)}`],
    ['distillation', lora.distillation ? 'yes: it makes the model denoise in few steps' : undefined],
    ['trigger words', lora.triggerWords.join(', ') || undefined],
    ['author', metadata['modelspec.author']],
    ['license', metadata['modelspec.license']],
    ['file', lora.path],
    ['sha256', lora.digest],
    ['added', lora.added && formatAge(new Date(lora.added))],
  ]
  const layers = Object.entries(lora.layers).map(([network, count]) => ['', network, `${count} layers`])
  return `${describeLines(lines)}\nchanges\n${formatTable(layers)}`
}
