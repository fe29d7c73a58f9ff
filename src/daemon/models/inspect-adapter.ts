import { inspectControlNet } from '../../engine/weights/controlnet-file.js'
import { trunkFamily } from '../../engine/weights/controlnet-fit.js'
import { readLoraHeader, type LoraHeader } from '../../engine/weights/lora-header.js'
import { openSafetensors } from '../../engine/weights/safetensors.js'
import type { Description } from './kind.js'
import { weightsSummary } from '../../engine/weights/weights-summary.js'

/** What a LoRA is. */
export interface LoraDescription extends Description, Omit<LoraHeader, 'dtypes'> {
  readonly triggerWords: readonly string[]
}

/** What a ControlNet is. */
export interface ControlNetDescription extends Description {
  /** How its tensors are named. */
  readonly format: 'diffusers' | 'original'
  /** Width of the prompts that it knows. */
  readonly promptWidth: number
  /** Channels of its blocks. */
  readonly channels: readonly number[]
}

/**
 * Looks into a LoRA's header.
 * @throws SwiftdError as `readLoraHeader`
 */
export function inspectLora(path: string): LoraDescription {
  const { dtypes, ...header } = readLoraHeader(path)
  return {
    ...header,
    kind: 'file',
    dtype: dtypes.join(', '),
    components: [{ name: 'lora', file: header.path }],
    triggerWords: triggerWords(header.metadata),
  }
}

/**
 * Looks into a ControlNet's configuration and header.
 * @throws SwiftdError as `inspectControlNet`; INVALID_WEIGHTS also for a folder's damaged file
 */
export function inspectControlNetFile(path: string): ControlNetDescription {
  const { path: real, kind, format, weightsPath, trunk } = inspectControlNet(path)
  const file = openSafetensors(weightsPath)
  try {
    const { dtypes, ...sizes } = weightsSummary([...file.tensors.values()])
    return {
      ...{ path: real, kind, family: trunkFamily(trunk), format, ...sizes, dtype: dtypes[0] ?? 'none' },
      promptWidth: trunk.cross_attention_dim[0],
      channels: trunk.block_out_channels,
      components: [{ name: 'controlnet', file: weightsPath }],
    }
  } finally {
    file.close()
  }
}

/** The most words of training captions that are told. */
const MAX_WORDS = 12

/** What a LoRA listens to: as its author says, else the words that its training captions had most often. */
function triggerWords(metadata: Readonly<Record<string, string>>): string[] {
  const stated = metadata['modelspec.trigger_phrase'] ?? metadata.trigger_word ?? metadata.instance_prompt
  if (stated) return [stated]
  const counts = new Map<string, number>()
  for (const tags of Object.values(parseObject(metadata.ss_tag_frequency))) {
    for (const [tag, count] of Object.entries(asObject(tags))) {
      counts.set(tag.trim(), (counts.get(tag.trim()) ?? 0) + Number(count))
    }
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, MAX_WORDS)
    .map(([tag]) => tag)
}

/** Metadata is a stranger's text: what is no JSON object counts as empty. */
function parseObject(json: string | undefined): object {
  try {
    return asObject(JSON.parse(json ?? '{}'))
  } catch {
    return {}
  }
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}
