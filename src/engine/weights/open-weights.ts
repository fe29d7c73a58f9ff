import { ofLayout, openSafetensors, type SafetensorsFile } from './safetensors.js'
import { isFloat } from './half.js'
import { openAsFloat32 } from './widened-cache.js'

export interface OpenWeightsOptions {
  /** Where float32 copies are kept; see `openAsFloat32`. */
  readonly cacheDirectory: string
  /** Whether the weights are copied to a device, which converts float16 itself: then no copy of a file in it is made. */
  readonly acceptHalf: boolean
}

/**
 * Opens a .safetensors file with floating-point tensors as a device can take them: float32, or also float16.
 * @throws SwiftdError as `openAsFloat32`
 */
export async function openWeights(
  path: string,
  { cacheDirectory, acceptHalf }: OpenWeightsOptions,
): Promise<SafetensorsFile> {
  if (acceptHalf) {
    const file = openSafetensors(path)
    if (isHalfOrFloat32(file)) return file
    file.close()
  }
  return openAsFloat32(path, { cacheDirectory })
}

const ALIGNMENT: Readonly<Partial<Record<string, number>>> = { F32: 4, F16: 2 }

const isHalfOrFloat32 = ofLayout((file) =>
  [...file.tensors.values()].every(({ dtype, offset }) => !isFloat(dtype) || offset % (ALIGNMENT[dtype] ?? NaN) === 0),
)
