import { basename } from 'node:path'
import { SwiftdError } from '../errors.js'
import { allocateNative, type NativeMemory } from '../memory/native-memory.js'
import { elementCount, tensorBytes, type ElementType, type NativeTensor } from '../tensor.js'
import { isFloat, widenInto, widenTensor } from './half.js'
import {
  ELEMENT_BYTES,
  openSafetensors,
  type SafetensorsFile,
  type StoredDtype,
  type StoredTensor,
} from './safetensors.js'

/** What an adapter changes: the UNet, or one of the text encoders. */
export type AdapterTarget = 'unet' | 'text_encoder' | 'text_encoder_2'

/** One layer of a LoRA: the weight changes by `alpha / rank * up @ down`, convolutions flattened to matrices. */
export interface AdapterLayer {
  readonly target: AdapterTarget
  /** The module's name as the file spells it: dotted (diffusers) or joined by underscores (kohya). */
  readonly module: string
  readonly joined: boolean
  /** (rank, in) or (rank, in, kh, kw), in the file's own type if the runtime has it */
  readonly down: NativeTensor
  /** (out, rank) or (out, rank, 1, 1) */
  readonly up: NativeTensor
  readonly alpha: number
  readonly rank: number
}

/** An open LoRA file, independent of any model. Its layers lie in the mapped file; that their values are numbers is not checked. */
export interface Adapter {
  readonly path: string
  readonly name: string
  readonly metadata: Readonly<Record<string, string>>
  readonly layers: readonly AdapterLayer[]
  /** Unmaps the file: the layers become invalid. */
  release(): void
}

type Part = 'down' | 'up' | 'alpha'

/** How files name the parts of a layer: the PEFT, the older diffusers and the kohya way. */
const PART_NAMES: readonly [RegExp, Part][] = [
  [/\.lora_A(?:\.default)?\.weight$/, 'down'],
  [/\.lora_B(?:\.default)?\.weight$/, 'up'],
  [/\.lora(?:_linear_layer)?\.down\.weight$/, 'down'],
  [/\.lora(?:_linear_layer)?\.up\.weight$/, 'up'],
  [/_lora\.down\.weight$/, 'down'],
  [/_lora\.up\.weight$/, 'up'],
  [/\.lora_down\.weight$/, 'down'],
  [/\.lora_up\.weight$/, 'up'],
  [/\.alpha$/, 'alpha'],
]

/** Other ways to change weights, which are refused by their names instead of being half applied. */
const FOREIGN: readonly [RegExp, string][] = [
  [/\.hada_w[12]_[ab]$/, 'LyCORIS LoHa'],
  [/\.lokr_w[12](_[ab])?$/, 'LyCORIS LoKr'],
  [/\.(dora_scale|lora_magnitude_vector)(\.weight)?$/, 'DoRA'],
  [/\.lora_mid\.weight$/, 'LoCon with CP decomposition'],
  [/\.oft_blocks$/, 'OFT'],
  [/\.(diff|diff_b)$/, 'a full weight difference'],
]

/** Prefixes of kohya's joined names. */
const JOINED: readonly [string, AdapterTarget][] = [
  ['lora_unet_', 'unet'],
  ['lora_te1_', 'text_encoder'],
  ['lora_te2_', 'text_encoder_2'],
  ['lora_te_', 'text_encoder'],
]

/**
 * Reads a LoRA file: PEFT/diffusers, old diffusers (also attention processors) and kohya names; any rank and alpha.
 * @throws SwiftdError INVALID_WEIGHTS for damaged files, UNSUPPORTED_MODEL for other kinds of adapters, by their name
 */
export function openAdapter(path: string): Adapter {
  const file = openSafetensors(path)
  const memories: NativeMemory[] = []
  try {
    const layers = groupParts(file).map(([key, parts]) => readLayer(file, key, parts, memories))
    if (layers.length === 0) throw notAnAdapter(path)
    return {
      path,
      name: basename(path).replace(/\.safetensors$/, ''),
      metadata: { ...file.metadata },
      layers,
      release() {
        memories.splice(0).forEach((memory) => memory.release())
        file.close()
      },
    }
  } catch (error) {
    memories.forEach((memory) => memory.release())
    file.close()
    throw error
  }
}

type Parts = Partial<Record<Part, StoredTensor>>

/** The tensors of each layer, by the layer's key. Throws SwiftdError UNSUPPORTED_MODEL for other kinds of adapters. */
export function groupParts(file: SafetensorsFile): [string, Parts][] {
  const groups = new Map<string, Parts>()
  for (const tensor of file.tensors.values()) {
    const foreign = FOREIGN.find(([pattern]) => pattern.test(tensor.name))
    if (foreign) {
      const sentence = `${file.path} is ${foreign[1]} ("${tensor.name}"); swiftd applies plain LoRAs of linear and convolution layers.`
      throw new SwiftdError('UNSUPPORTED_MODEL', sentence)
    }
    const found = PART_NAMES.find(([pattern]) => pattern.test(tensor.name))
    if (!found) continue
    const key = tensor.name.replace(found[0], '')
    groups.set(key, { ...groups.get(key), [found[1]]: tensor })
  }
  return [...groups]
}

function readLayer(
  file: SafetensorsFile,
  key: string,
  { down, up, alpha }: Parts,
  memories: NativeMemory[],
): AdapterLayer {
  if (!down || !up) {
    const missing = down ? 'up' : 'down'
    throw new SwiftdError(
      'INVALID_WEIGHTS',
      `${file.path} has no "${missing}" part for the layer "${key}"; download it again.`,
    )
  }
  const rank = down.shape[0]
  if (up.shape[1] !== rank || elementCount(up.shape) !== up.shape[0] * rank) {
    const shapes = `[${down.shape.join(', ')}] and [${up.shape.join(', ')}]`
    throw new SwiftdError(
      'INVALID_WEIGHTS',
      `${file.path} has parts of shapes ${shapes} for "${key}", which do not multiply.`,
    )
  }
  // The patch graph reads both parts in one type.
  const mixed = up.dtype !== down.dtype
  return {
    ...nameOf(key),
    down: layerTensor(file, down, memories, mixed),
    up: layerTensor(file, up, memories, mixed),
    alpha: alpha ? widenTensor(file, alpha)[0] : rank,
    rank,
  }
}

/** The stored types that the runtime widens by itself. */
const RUNTIME_TYPES: Partial<Record<StoredDtype, ElementType>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

/** A tensor as it lies in the file; a float32 copy of it where the runtime cannot read it there. */
function layerTensor(
  file: SafetensorsFile,
  tensor: StoredTensor,
  memories: NativeMemory[],
  widened: boolean,
): NativeTensor {
  if (!isFloat(tensor.dtype)) {
    throw new SwiftdError(
      'INVALID_WEIGHTS',
      `${file.path} has ${tensor.dtype} values in "${tensor.name}"; LoRAs hold floats.`,
    )
  }
  const type = widened ? undefined : RUNTIME_TYPES[tensor.dtype]
  if (type && tensor.offset % ELEMENT_BYTES[tensor.dtype] === 0) {
    return { type, dims: tensor.shape, address: file.addressOf(tensor) }
  }
  const memory = allocateNative(tensorBytes('float32', tensor.shape))
  memories.push(memory)
  widenInto(memory.floats.subarray(0, elementCount(tensor.shape)), file.bytesOf(tensor).slice(), tensor.dtype)
  return { type: 'float32', dims: tensor.shape, address: memory.address }
}

/** The target and the module that a layer's key names. */
export function nameOf(key: string): Pick<AdapterLayer, 'target' | 'module' | 'joined'> {
  const joined = JOINED.find(([prefix]) => key.startsWith(prefix))
  if (joined) return { target: joined[1], module: key.slice(joined[0].length), joined: true }
  const dotted = /^(unet|text_encoder_2|text_encoder)\.(.+)$/.exec(key)
  const target = (dotted?.[1] ?? 'unet') as AdapterTarget
  return { target, module: plainModule(dotted?.[2] ?? key), joined: false }
}

/** The attention layer that an old attention processor's key means. */
function plainModule(module: string): string {
  return module
    .replace(/\.processor\.to_out$/, '.to_out.0')
    .replace(/\.processor\.(to_[qkv])$/, '.$1')
    .replace(/\.self_attn\.to_out$/, '.self_attn.out_proj')
    .replace(/\.self_attn\.to_([qkv])$/, '.self_attn.$1_proj')
}

function notAnAdapter(path: string): SwiftdError {
  return new SwiftdError('UNSUPPORTED_MODEL', `${path} has no LoRA layers that swiftd knows; is it a LoRA?`)
}
