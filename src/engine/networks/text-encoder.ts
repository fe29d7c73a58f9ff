import { SwiftdError } from '../errors.js'
import type { GraphWeight } from '../graph/builder.js'
import { buildTextEncoder, TEXT_ENCODER_NAMES as NAMES } from '../graph/text-encoder.js'
import { createScratch } from '../memory/native-memory.js'
import type { Binding } from '../ort/binding.js'
import { valueFloats } from '../ort/value.js'
import type { TextEncoderConfig } from '../weights/config.js'
import type { GraphCache } from './graph-cache.js'
import type { DeviceWeights } from './device-weights.js'
import { bindNetwork, weightNames } from './network.js'
import type { NetworkFile } from './network-files.js'
import { createOverlayBinder, type Overlay } from './overlay.js'

/** A CLIP text encoder with the weights of one file. */
export interface TextEncoder {
  readonly config: TextEncoderConfig
  /**
   * Encodes prompts.
   * @param ids one row of token ids for each prompt, each as long as the encoder's context
   * @param outputs names of TEXT_ENCODER_NAMES to compute
   * @returns a copy of each output's values, in the order of `outputs`
   */
  run(
    ids: readonly (readonly number[])[],
    outputs: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ values: Float32Array[]; runtimeMs: number }>
  /** The base weights, which overlays are made of. */
  readonly weights: DeviceWeights
  readonly weightShapes: readonly GraphWeight[]
  /** Makes an overlay effective for the runs that follow; undefined leaves only the base weights. */
  useOverlay(overlay: Overlay | undefined): void
  /** Binds the base again if this overlay is bound, so that it may be released. */
  leaveOverlay(overlay: Overlay): void
  release(): void
}

/** Loads a file's weights and binds them to the text encoder graph of its architecture. */
export async function openTextEncoder(
  graphs: GraphCache,
  config: TextEncoderConfig,
  file: NetworkFile,
): Promise<TextEncoder> {
  const { target } = file
  const compiled = await graphs.open('text-encoder', config, () => buildTextEncoder(config, target), target)
  const bound = await bindNetwork(graphs, file.weights, [compiled])
  const { bindings, weights } = bound
  const [binding] = bindings
  const scratch = createScratch()
  return {
    config,
    weights,
    weightShapes: compiled.graph.weights,
    ...createOverlayBinder(bindings, [weightNames(compiled.graph)], weights),
    async run(ids, outputs, signal) {
      const length = config.max_position_embeddings
      const wrong = ids.find((row) => row.length !== length || row.some((id) => id < 0 || id >= config.vocab_size))
      if (wrong) {
        const reason = `${wrong.length} token ids up to ${Math.max(...wrong)}`
        const message = `The tokenizer gives ${reason}, but the text encoder takes ${length} below ${config.vocab_size}; check that both are of the same model.`
        throw new SwiftdError('INVALID_CONFIG', message)
      }
      const idBytes = ids.length * length * 8
      const address = scratch.reserve(idBytes + ids.length * 8)
      const view = new BigInt64Array(scratch.buffer)
      view.set(BigInt64Array.from(ids.flat(), BigInt))
      view.set(
        BigInt64Array.from(ids, (row) => BigInt(pooledPosition(row, config))),
        ids.length * length,
      )
      binding.bindInput(NAMES.inputIds, { type: 'int64', dims: [ids.length, length], address })
      const positions = address + BigInt(idBytes)
      binding.bindInput(NAMES.pooledPosition, { type: 'int64', dims: [ids.length, 1], address: positions })
      binding.clearOutputs()
      outputs.forEach((name) => binding.bindHostOutput(name))
      const { runtimeMs } = await binding.run(signal)
      return { values: copyOutputs(binding), runtimeMs }
    },
    release() {
      bound.release()
      scratch.release()
    },
  }
}

/** The values of a finished run, copied; the runtime's own are released. */
function copyOutputs(binding: Binding): Float32Array[] {
  const outputs = binding.takeOutputs()
  try {
    return outputs.map((value) => valueFloats(value).slice())
  } finally {
    outputs.forEach((value) => value.release())
    binding.clearOutputs()
  }
}

/**
 * Where the encoder pools. Files with the historical eos_token_id 2 pool at the highest token id, which is CLIP's
 * end-of-text; others at the first end-of-text token (transformers' CLIPTextTransformer).
 */
function pooledPosition(ids: readonly number[], config: TextEncoderConfig): number {
  const end = config.eos_token_id === 2 ? Math.max(...ids) : config.eos_token_id
  return Math.max(0, ids.indexOf(end))
}
