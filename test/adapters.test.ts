import { copyFileSync, cpSync, existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSandbox, type Finished, type Sandbox } from './support/sandbox.js'

const GOLDENS = resolve('fixtures/goldens')

describe('LoRAs and ControlNets by name', () => {
  let sandbox: Sandbox
  const swiftd = (...args: string[]): Promise<Finished> => sandbox.run(args)

  beforeAll(() => {
    sandbox = createSandbox()
    copyFileSync(join(GOLDENS, 'sd15/lora/b.kohya.safetensors'), join(sandbox.directory, 'Pixel Art.safetensors'))
    copyFileSync(join(GOLDENS, 'sdxl/controlnet-a.original.safetensors'), join(sandbox.directory, 'edges.safetensors'))
    cpSync(join(GOLDENS, 'sdxl/controlnet-a'), join(sandbox.directory, 'lines'), { recursive: true })
    for (const name of ['old.ckpt', 'old.pt', 'old.bin']) writeFileSync(join(sandbox.directory, name), 'x')
  })
  afterAll(() => sandbox.dispose())

  it('are added, listed, shown and removed, while the files stay', async () => {
    expect((await swiftd('lora', 'add', 'Pixel Art.safetensors')).stdout).toMatch(
      /^Added pixel-art \(.* parameters, F32/,
    )
    expect((await swiftd('controlnet', 'add', 'edges.safetensors')).stdout).toMatch(/^Added edges \(sdxl, /)
    expect((await swiftd('controlnet', 'add', 'lines', '--name', 'lines:v2')).exitCode).toBe(0)
    expect((await swiftd('lora', 'list', '-q')).stdout).toBe('stripes\nneon\npixel-art')
    expect((await swiftd('controlnet', 'ls', '-q')).stdout).toBe('canny\ndepth\nedges\nlines:v2')
    expect((await swiftd('controlnet', 'list')).stdout).toMatch(/^edges +[0-9a-f]{12} +sdxl +\S+ kB +F32 +/m)
    const shown = (await swiftd('lora', 'show', 'pixel')).stdout
    expect(shown).toMatch(/^format +kohya$/m)
    expect(shown).toMatch(/^ +text_encoder +\d+ layers\n +unet +\d+ layers$/m)
    expect((await swiftd('controlnet', 'show', 'edges')).stdout).toMatch(/^format +original names$/m)
    expect((await swiftd('lora', 'rm', 'pixel-art')).stdout).toBe('Removed pixel-art')
    expect((await swiftd('controlnet', 'rm', 'edges', 'lines:v2')).stdout).toBe('Removed edges\nRemoved lines:v2')
    expect(existsSync(join(sandbox.directory, 'Pixel Art.safetensors'))).toBe(true)
  })

  it('are told as JSON', async () => {
    const { stdout } = await swiftd('lora', 'show', 'neon', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ name: 'neon', format: 'kohya', ranks: [8], alphas: [8], family: 'sdxl' })
    const list = await swiftd('controlnet', 'list', '--json')
    expect(JSON.parse(list.stdout)).toMatchObject({ controlNets: [{ name: 'canny' }, { name: 'depth' }], damaged: [] })
  })

  it.each<[string[], number, RegExp]>([
    [['lora', 'show', 'stirpes'], 4, /no LoRA "stirpes".*stripes/],
    [['controlnet', 'show', 'cany'], 4, /no ControlNet "cany".*canny/],
    [['lora', 'add', 'nothing.safetensors'], 4, /no LoRA at .*nothing/],
    [['controlnet', 'add', 'nothing'], 4, /no ControlNet at .*nothing/],
    [['lora', 'add', 'old.ckpt'], 11, /pickled.*\.safetensors version of the LoRA/],
    [['controlnet', 'add', 'old.pt'], 11, /pickled.*\.safetensors version of the ControlNet/],
    [['model', 'add', 'old.bin'], 11, /pickled.*\.safetensors version of the model/],
    [['generate', 'x', '-q', '--model', './old.ckpt'], 11, /pickled/],
    [['model', 'add', resolve('fixtures/goldens/sd15/model'), '--vae', 'old.pt'], 11, /pickled.*autoencoder/],
    [['lora', 'add', 'edges.safetensors'], 11, /is a ControlNet/],
    [['controlnet', 'add', 'Pixel Art.safetensors'], 11, /is a LoRA/],
    [['lora', 'rm', 'stripes'], 2, /comes with swiftd/],
  ])('are refused with a sentence: %j', async (args, exitCode, message) => {
    const finished = await swiftd(...args)
    expect(finished).toMatchObject({ exitCode, stdout: '', stderr: expect.stringMatching(message) as string })
    expect(finished.stderr.trim().split('\n')).toHaveLength(1)
  })
})
