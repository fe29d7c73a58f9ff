import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Checkpoint, Component } from '../src/engine/weights/checkpoint.js'
import {
  ORIGINAL_PREFIX as PREFIX,
  originalTrunkNames,
  originalVaeNames,
} from '../src/engine/weights/original-names.js'
import { openSafetensors, type SafetensorsFile } from '../src/engine/weights/safetensors.js'
import { writeSafetensors, type TensorSource } from '../src/engine/weights/safetensors-writer.js'
import type { NameMapping, TensorSource as Source } from '../src/engine/weights/weights.js'
import { textEncoderShapes, unetShapes, vaeShapes, type ParameterShapes } from './parameter-shapes.js'

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
  const parts: [Component<unknown>, ParameterShapes, NameMapping][] = [
    [unet, unetShapes(unet.config), originalTrunkNames(unet.config, PREFIX.unet)],
    [vae, vaeShapes(vae.config), originalVaeNames(vae.config.block_out_channels.length, PREFIX.vae)],
    [encoder, textEncoderShapes(encoder.config), (name) => ({ name: PREFIX.clip + name })],
  ]
  const files = parts.map(([{ weightsPath }]) => openSafetensors(weightsPath))
  try {
    const tensors = parts.flatMap(([{ names }, shapes, original], index) => {
      const file = files[index]
      return Array.from(shapes, ([name, shape]) => renamed(file, names(file)(name).name, shape, original(name)))
    })
    await writeSafetensors(single, tensors, { format: 'pt' })
    return single
  } finally {
    files.forEach((file) => file.close())
  }
}

/** @param stored the folder's name for a tensor of `shape` */
function renamed(file: SafetensorsFile, stored: string, shape: readonly number[], target: Source): TensorSource {
  const tensor = file.tensors.get(stored)
  if (!tensor || target.part || target.transpose) throw new Error(`${stored} cannot be written as a tensor of its own`)
  return {
    name: target.name,
    dtype: tensor.dtype,
    // A matrix that is squeezed when it is read is kept as a 1x1 convolution.
    shape: target.squeeze ? [...shape, 1, 1] : shape,
    chunks: () => [file.bytesOf(tensor)],
  }
}
