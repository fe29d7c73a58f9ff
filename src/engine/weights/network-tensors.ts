import { isFloat } from './half.js'
import { ORIGINAL_PREFIX as PREFIX } from './original-names.js'
import { ofLayout, type SafetensorsFile, type StoredTensor } from './safetensors.js'

/** Which of a model's networks; a single file has several. */
export type NetworkRole = 'textEncoder' | 'unet' | 'vae' | 'controlNet'

const PREFIXES: Readonly<Record<NetworkRole, readonly string[]>> = {
  textEncoder: [PREFIX.clip, PREFIX.openClip, PREFIX.sdxlClip, PREFIX.sdxlOpenClip],
  unet: [PREFIX.unet],
  vae: [PREFIX.vae],
  controlNet: [PREFIX.controlNet],
}

/** The tensors under a network's prefixes, or all where a file has none of them: others are no weights of it, such as averages. */
export function networkTensors({ tensors }: SafetensorsFile, role: NetworkRole): StoredTensor[] {
  const all = [...tensors.values()]
  const own = all.filter(({ name }) => PREFIXES[role].some((prefix) => name.startsWith(prefix)))
  return own.length > 0 ? own : all
}

/**
 * How a file keeps a network's floats, if they are aligned: all in float32; in float16, vectors in either of the two; some in
 * float32 and some in float16; or in a way that nothing can be bound to.
 */
export type StoredFloats = 'float32' | 'float16' | 'both' | 'other'

/** How a file keeps the floats of a network, from its header. */
export function storedFloats(file: SafetensorsFile, role: NetworkRole): StoredFloats {
  return STORED_FLOATS[role](file)
}

const storedFloatsOf = (role: NetworkRole) => ofLayout((file) => classify(networkTensors(file, role)))

const STORED_FLOATS: Readonly<Record<NetworkRole, (file: SafetensorsFile) => StoredFloats>> = {
  textEncoder: storedFloatsOf('textEncoder'),
  unet: storedFloatsOf('unet'),
  vae: storedFloatsOf('vae'),
  controlNet: storedFloatsOf('controlNet'),
}

const ALIGNMENT: Readonly<Partial<Record<string, number>>> = { F32: 4, F16: 2 }

function classify(tensors: readonly StoredTensor[]): StoredFloats {
  const floats = tensors.filter(({ dtype }) => isFloat(dtype))
  if (!floats.every(({ dtype, offset }) => offset % (ALIGNMENT[dtype] ?? NaN) === 0)) return 'other'
  if (floats.every(({ dtype }) => dtype === 'F32')) return 'float32'
  return floats.every(({ dtype, shape }) => dtype === 'F16' || shape.length < 2) ? 'float16' : 'both'
}
