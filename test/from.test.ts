import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateResult } from '../src/commands/generate.js'
import { parseInfotext } from '../src/engine/image/infotext.js'
import { encodePng, readPngText } from '../src/engine/image/png.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

const PROMPT = 'a large red star on a blue background'
let sandbox: Sandbox

beforeAll(async () => {
  sandbox = createSandbox()
  await generate([PROMPT, '--seed', '7', '-o', 'star.png'])
  await writePlainPicture('mask.png', 255)
})
afterAll(() => sandbox.dispose())

const fileOf = (name: string): string => join(sandbox.directory, name)
const bytesOf = (name: string): Buffer => readFileSync(fileOf(name))
const parametersOf = (name: string) => parseInfotext(readPngText(bytesOf(name)).parameters)

/** Runs `generate`, which must succeed. */
async function generate(args: readonly string[], env: Record<string, string> = {}): Promise<GenerateResult> {
  const { exitCode, stdout, stderr } = await sandbox.run(['generate', ...args, '--json', '-q'], { env })
  expect([exitCode, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as GenerateResult
}

async function writePlainPicture(name: string, level: number): Promise<void> {
  const image = { width: 128, height: 128, data: new Uint8Array(3 * 128 * 128).fill(level) }
  writeFileSync(fileOf(name), await encodePng(image))
}

describe('generate --from', () => {
  it.each<[string, readonly string[]]>([
    ['text to image', [PROMPT, '--seed', '7']],
    [
      'a sampler with noise of its own',
      [PROMPT, '--scheduler', 'Euler a', '--steps', '6', '--negative-prompt', 'green'],
    ],
    [
      "A1111's conventions",
      [
        ...['a [red:green:0.4] (star:1.3) on BREAK blue', '--prompt-syntax', 'a1111', '--emphasis', 'no-norm'],
        ...['--noise-convention', 'a1111', '--rng', 'nv', '--variation-seed', '3', '--variation-strength', '0.4'],
        ...['--clip-skip', '2', '--seed', '9', '--guidance-rescale', '0.5'],
      ],
    ],
    ['image to image', [PROMPT, '--image', 'star.png', '--strength', '0.6', '--width', '96', '--seed', '3']],
    ['inpainting', [PROMPT, '--image', 'star.png', '--mask', 'mask.png', '--seed', '3', '--vae', 'demo']],
    ['DDIM with eta', [PROMPT, '--scheduler', 'DDIM', '--eta', '0.7', '--seed', '3', '--prompt-2', 'a green circle']],
  ])('makes the same file again: %s', async (_, args) => {
    const { images, seed } = await generate([...args, '-o', 'first.png'])
    const again = await generate(['--from', 'first.png', '-o', 'again.png'])
    expect(again).toMatchObject({ seed, images: [{ index: images[0].index, width: images[0].width }] })
    expect(bytesOf('again.png').equals(bytesOf('first.png'))).toBe(true)
  })

  it('makes one image of a batch again, and only that', async () => {
    await generate([PROMPT, '--seed', '7', '-n', '3', '-o', 'batch-{seed}.png'])
    const { images, seed } = await generate(['--from', 'batch-8.png', '-o', 'second.png'])
    expect([images, seed]).toMatchObject([[{ index: 1, seed: 8, path: fileOf('second.png') }], 8])
    expect(bytesOf('second.png').equals(bytesOf('batch-8.png'))).toBe(true)
  })

  it('leaves the batch with another seed or number', async () => {
    await generate([PROMPT, '--seed', '7', '-n', '2', '-o', 'pair-{index}.png', '--steps', '2'])
    const { images } = await generate(['--from', 'pair-1.png', '-n', '2', '-o', 'next-{seed}.png'])
    expect(images.map(({ seed }) => seed)).toEqual([8, 9])
    const other = await generate(['--from', 'pair-1.png', '--seed', '20', '-o', 'other.png'])
    expect(other.images).toMatchObject([{ index: 0, seed: 20 }])
  })

  it('takes changes from what is typed, and not from the environment', async () => {
    await generate(['--from', 'star.png', 'a green circle', '--steps', '3', '-o', 'changed.png'], { SWIFTD_SEED: '99' })
    expect(parametersOf('changed.png')).toMatchObject({ prompt: 'a green circle', steps: 3, seed: 7, cfgScale: 5 })
  })

  it('reads what other programs wrote', async () => {
    const parameters =
      'a (red:1.2) star\nNegative prompt: green\nSteps: 5, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, ' +
      'Seed: 12, Size: 64x128, Model: demo, Version: v1.10.1'
    const image = { width: 8, height: 8, data: new Uint8Array(192) }
    writeFileSync(fileOf('a1111.png'), await encodePng(image, { parameters }))
    await generate(['--from', 'a1111.png', '-o', 'made.png'])
    expect(parametersOf('made.png')).toMatchObject({
      ...{ prompt: 'a (red:1.2) star', negativePrompt: 'green', steps: 5, sampler: 'DPM++ 2M', scheduleType: 'Karras' },
      ...{ cfgScale: 4, seed: 12, width: 64, height: 128, rng: 'NV' },
      extra: { 'Prompt syntax': 'a1111', 'Noise convention': 'a1111' },
    })
  })

  it('says which picture is needed where it was moved or changed, and takes it by its flag', async () => {
    await writePlainPicture('source.png', 90)
    await generate([PROMPT, '--image', 'source.png', '--seed', '3', '--steps', '4', '-o', 'derived.png'])
    renameSync(fileOf('source.png'), fileOf('moved.png'))
    const moved = await sandbox.run(['generate', '--from', 'derived.png', '-o', 'never.png'])
    expect([moved.exitCode, moved.stderr]).toEqual([
      2,
      `Error: To make this image again, the picture it starts from is needed; it was ${fileOf('source.png')}, ` +
        'which cannot be read. Give it by --image FILE.',
    ])
    await writePlainPicture('source.png', 91)
    const changed = await sandbox.run(['generate', '--from', 'derived.png', '-o', 'never.png'])
    expect(changed.stderr).toContain(`${fileOf('source.png')} has changed since then. Give it by --image FILE.`)
    await generate(['--from', 'derived.png', '--image', 'moved.png', '-o', 'again.png'])
    expect(parametersOf('again.png')).toEqual(parametersOf('derived.png'))
  })

  it.each([
    ['nothing.png', /^Error: --from: there is no file .*nothing\.png; check the name\.$/],
    ['mask.png', /^Error: The image does not say how it was made: it has no generation parameters; /],
  ])('refuses %s', async (name, sentence) => {
    const { exitCode, stderr } = await sandbox.run(['generate', '--from', name, '-o', 'never.png'])
    expect([exitCode, stderr]).toEqual([2, expect.stringMatching(sentence)])
  })
})

describe('several images', () => {
  it('get numbers where their name says nothing else', async () => {
    const { images } = await generate([PROMPT, '--seed', '7', '--n', '2', '--steps', '1', '-o', 'many.png'])
    expect(images.map(({ path }) => path)).toEqual([fileOf('many-0.png'), fileOf('many-1.png')])
  })

  it('go to new files with their seeds', async () => {
    const { images } = await generate([PROMPT, '--seed', '70', '-n', '2', '--steps', '1'])
    expect(images.map(({ path }) => path)).toEqual([fileOf('swiftd-70.png'), fileOf('swiftd-71.png')])
  })
})
