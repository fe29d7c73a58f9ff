import { cpSync, mkdtempSync, rmSync, truncateSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inspectModel } from './inspect.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))

describe('inspecting a model', () => {
  let directory: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-inspect-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it.each([
    ['sd15', 'sd1', ['text_encoder', 'unet', 'vae']],
    ['sd21', 'sd2', ['text_encoder', 'unet', 'vae']],
    ['sdxl', 'sdxl', ['text_encoder', 'text_encoder_2', 'unet', 'vae']],
  ])('counts the same parameters of %s in a folder and in one file', (name, family, components) => {
    const folder = join(goldens, name, 'model')
    const variant = name === 'sd21' ? 'fp16' : undefined
    const fromFolder = inspectModel(folder, { variant })
    const fromFile = inspectModel(join(goldens, name, `${name}.original.safetensors`), { configuration: folder })
    expect(fromFolder).toMatchObject({ kind: 'folder', family, task: 'text-to-image' })
    expect(fromFile).toMatchObject({ kind: 'file', family, dtype: fromFolder.dtype, scheduler: fromFolder.scheduler })
    expect(fromFolder.components.map((component) => component.name)).toEqual(components)
    const unets = [fromFolder, fromFile].map(
      (model) => model.components.find(({ name }) => name === 'unet')?.parameters,
    )
    const vaes = [fromFolder, fromFile].map((model) => model.components.find(({ name }) => name === 'vae')?.parameters)
    expect(unets[1]).toBe(unets[0])
    expect(vaes[1]).toBe(vaes[0])
  })

  it('tells the dtype of the weights that are used', () => {
    expect(inspectModel(join(goldens, 'sd21/model')).dtype).toBe('F32')
    expect(inspectModel(join(goldens, 'sd21/model'), { variant: 'fp16' }).dtype).toBe('F16')
  })

  it('knows an inpainting model by its input channels, and how a model predicts', () => {
    expect(inspectModel(join(goldens, 'sd15-inpaint/model'))).toMatchObject({
      task: 'inpainting',
      predictionType: 'epsilon',
    })
    expect(inspectModel(join(goldens, 'sd21/model')).predictionType).toBe('v_prediction')
  })

  it('describes the autoencoder that is used instead of the own one', () => {
    const vae = join(goldens, 'sd15-inpaint/model/vae')
    const { components } = inspectModel(join(goldens, 'sd15/model'), { vae })
    expect(components[2]).toMatchObject({ name: 'vae', file: join(vae, 'diffusion_pytorch_model.safetensors') })
  })

  it('refuses folders whose weights are cut off or gone', () => {
    cpSync(join(goldens, 'sd15/model'), directory, { recursive: true })
    const weights = join(directory, 'vae/diffusion_pytorch_model.safetensors')
    truncateSync(weights, 100_000)
    expect(() => inspectModel(directory)).toThrow(
      expect.objectContaining({ code: 'INVALID_WEIGHTS', message: expect.stringContaining(weights) as string }),
    )
    unlinkSync(weights)
    expect(() => inspectModel(directory)).toThrow(expect.objectContaining({ code: 'INVALID_WEIGHTS' }))
  })
})
