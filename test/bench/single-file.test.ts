import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { textEncoderShapes, unetShapes, vaeShapes } from '../../bench/parameter-shapes.js'
import { makeSingleFile } from '../../bench/single-file.js'
import { viewMemory } from '../../src/engine/memory/libc.js'
import { openCheckpoint, type Component } from '../../src/engine/weights/checkpoint.js'
import { openSafetensors } from '../../src/engine/weights/safetensors.js'
import { weightsFromFile } from '../../src/engine/weights/weights.js'

/** Shapes and first values of tensors by the graphs' names, as a component's own mapping finds them. */
function tensorsOf({ weightsPath, names }: Component<unknown>, wanted: readonly string[]) {
  const file = openSafetensors(weightsPath)
  const weights = weightsFromFile(file, names(file))
  const tensors = wanted.map((name) => {
    const tensor = weights.find(name)
    return { name, dims: tensor?.dims, first: tensor && new Float32Array(viewMemory(tensor.address, 4))[0] }
  })
  weights.close()
  return tensors
}

describe('makeSingleFile', () => {
  let directory = ''
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-single-'))
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  it('writes a file in which every tensor of the folder is found under its original name', async () => {
    const path = join(directory, 'model')
    cpSync(join(import.meta.dirname, '../../fixtures/goldens/sd15/model'), path, { recursive: true })
    const folder = openCheckpoint(path)
    const file = await makeSingleFile(folder)
    expect([dirname(file), basename(file)]).toEqual([dirname(folder.path), 'single-model.safetensors'])
    // The tiny model's group norms and heads are unusual, so the folder configures the file.
    const single = openCheckpoint(file, { configuration: path })
    const components = [
      [folder.unet, single.unet, unetShapes(folder.unet.config)],
      [folder.vae, single.vae, vaeShapes(folder.vae.config)],
      [folder.textEncoders[0], single.textEncoders[0], textEncoderShapes(folder.textEncoders[0].config)],
    ] as const
    for (const [expected, actual, shapes] of components) {
      const found = tensorsOf(expected, [...shapes.keys()])
      expect(found.map(({ name, dims }) => [name, dims])).toEqual([...shapes])
      expect(tensorsOf(actual, [...shapes.keys()])).toEqual(found)
    }
  })
})
