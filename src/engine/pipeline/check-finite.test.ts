import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSafetensors } from '../weights/safetensors.js'
import { checkFinite, explainNotFinite, notFinite } from './check-finite.js'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))
const F32 = join(fixtures, 'goldens/sd15/model/vae/diffusion_pytorch_model.safetensors')
const F16 = join(fixtures, 'models/tiny-shapes-xl/vae/diffusion_pytorch_model.safetensors')
const NAN = Float32Array.of(1, NaN)

describe('a result with values that are no numbers', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-finite-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  /** A copy of a file in which the last value of a tensor has other bits. */
  function spoiled(file: string, tensorName: string, bits: Buffer): { weightsPath: string } {
    const weightsPath = join(directory, 'spoiled.safetensors')
    copyFileSync(file, weightsPath)
    const opened = openSafetensors(weightsPath)
    opened.close()
    const { offset, byteLength } = opened.tensors.get(tensorName)!
    const bytes = readFileSync(weightsPath)
    bits.copy(bytes, offset + byteLength - bits.length)
    writeFileSync(weightsPath, bytes)
    return { weightsPath }
  }

  it.each([
    ['float32 NaN', F32, Buffer.from([0, 0, 0xc0, 0x7f])],
    ['float32 infinity', F32, Buffer.from([0, 0, 0x80, 0xff])],
    ['float16 NaN', F16, Buffer.from([0, 0x7e])],
    ['float16 infinity', F16, Buffer.from([0, 0x7c])],
  ])('is blamed on the tensor that has a %s', async (_, file, bits) => {
    const damaged = spoiled(file, 'decoder.conv_out.weight', bits)
    await expect(
      checkFinite('The pixels', NAN, { ingredients: [{ weightsPath: file }, damaged] }),
    ).rejects.toMatchObject({
      code: 'INVALID_WEIGHTS',
      message: expect.stringMatching(/spoiled\.safetensors has .* in "decoder\.conv_out\.weight"/) as string,
    })
  })

  it('is told as such where all weights are numbers', async () => {
    const sound = { ingredients: [{ weightsPath: F32 }, { weightsPath: F16 }] }
    await expect(checkFinite('The latents', NAN, sound)).rejects.toMatchObject({ code: 'NOT_FINITE' })
    await expect(checkFinite('The latents', Float32Array.of(-Infinity), sound)).rejects.toThrow(
      /^The latents came out .*; all weights are, so try a lower guidance scale/,
    )
  })

  it('is not explained any further once the job is cancelled', async () => {
    const explained = explainNotFinite(
      notFinite('The latents'),
      () => ({ ingredients: [{ weightsPath: F32 }] }),
      AbortSignal.abort(),
    )
    await expect(explained).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('does not stand for large numbers', async () => {
    await expect(
      checkFinite('The latents', new Float32Array(1000).fill(3e38), { ingredients: [] }),
    ).resolves.toBeUndefined()
  })
})
