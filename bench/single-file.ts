import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Checkpoint } from '../src/engine/weights/checkpoint.js'
import {
  ORIGINAL_PREFIX as PREFIX,
  originalTrunkNames,
  originalVaeNames,
} from '../src/engine/weights/original-names.js'
import { openSafetensors, type SafetensorsFile } from '../src/engine/weights/safetensors.js'
import { writeSafetensors, type TensorSource } from '../src/engine/weights/safetensors-writer.js'
import type { NameMapping } from '../src/engine/weights/weights.js'

/**
 * Writes the weights of an SD1.x folder as one file in the original key names, next to the folder.
 *
 * The engine's own mappings say where a single file has each tensor of the graphs, so they are used from the other end.
 * @returns the file; one that is there is complete and is taken as it is
 */
export async function makeSingleFile({ path, unet, vae, textEncoders }: Checkpoint): Promise<string> {
  const [encoder] = textEncoders
  if (textEncoders.length !== 1 || !encoder) throw new Error(`${path} is not an SD1.x model`)
  // Not `<folder>.safetensors`: the folder beside such a file would configure it.
  const single = join(dirname(path), `single-${path.split('/').pop()}.safetensors`)
  if (existsSync(single)) return single
  const parts: [string, NameMapping][] = [
    [unet.weightsPath, originalTrunkNames(unet.config, PREFIX.unet)],
    [vae.weightsPath, originalVaeNames(vae.config.block_out_channels.length, PREFIX.vae)],
    [encoder.weightsPath, (name) => ({ name: PREFIX.clip + name })],
  ]
  const files = parts.map(([weightsPath]) => openSafetensors(weightsPath))
  try {
    const tensors = parts.flatMap(([, mapping], index) => renamedTensors(files[index], mapping))
    await writeSafetensors(single, tensors, { format: 'pt' })
    return single
  } finally {
    files.forEach((file) => file.close())
  }
}

function renamedTensors(file: SafetensorsFile, mapping: NameMapping): TensorSource[] {
  return Array.from(file.tensors.values(), (tensor) => {
    const { name, squeeze = false, part, transpose } = mapping(tensor.name)
    if (part || transpose) throw new Error(`${tensor.name} is not kept as a tensor of its own`)
    // A matrix that is squeezed when it is read is kept as a 1x1 convolution.
    const shape = squeeze ? [...tensor.shape, 1, 1] : tensor.shape
    return { name, dtype: tensor.dtype, shape, chunks: () => [file.bytesOf(tensor)] }
  })
}
