import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodePng } from '../src/engine/image/png.js'
import { openSafetensors } from '../src/engine/weights/safetensors.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

const DEMO = 'fixtures/models/tiny-shapes-xl'
const UNET_WEIGHTS = 'unet/diffusion_pytorch_model.safetensors'
let sandbox: Sandbox
let daemonPid: number

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start'])
  await writePictures()
  daemonPid = (await sandbox.connect().status()).pid
})
afterAll(() => sandbox.dispose())

/** Pictures for the flags that take some. */
async function writePictures(): Promise<void> {
  const plain = (width: number, height: number): Promise<Buffer> => {
    return encodePng({ width, height, data: new Uint8Array(3 * width * height).fill(200) })
  }
  const image = await plain(128, 128)
  writeFileSync(join(sandbox.directory, 'image.png'), image)
  writeFileSync(join(sandbox.directory, 'mask.png'), await plain(64, 128))
  writeFileSync(join(sandbox.directory, 'cut.png'), image.subarray(0, image.length - 30))
}

/** A copy of the demo model with something wrong. */
function brokenModel(name: string, harm: (folder: string) => void): string {
  const folder = join(sandbox.paths.runtimeDirectory, name)
  cpSync(DEMO, folder, { recursive: true })
  harm(folder)
  return folder
}

function changeConfig(folder: string, file: string, change: Record<string, unknown>): void {
  const path = join(folder, file)
  const config = { ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...change }
  writeFileSync(path, JSON.stringify(config))
}

/** Replaces the header's length, its first eight bytes. */
function claimHeaderLength(folder: string, length: bigint): void {
  const path = join(folder, UNET_WEIGHTS)
  const bytes = readFileSync(path)
  bytes.writeBigUInt64LE(length)
  writeFileSync(path, bytes)
}

/** Makes one value of a float16 tensor NaN. */
function spoil(folder: string, file: string, tensorName: string): void {
  const path = join(folder, file)
  const opened = openSafetensors(path)
  opened.close()
  const bytes = readFileSync(path)
  bytes.writeUInt16LE(0x7e00, opened.tensors.get(tensorName)!.offset)
  writeFileSync(path, bytes)
}

/** Gives a tensor of the header another name, so that the one that is asked for is missing. */
function renameTensor(folder: string, file: string, name: string): void {
  const path = join(folder, file)
  const bytes = readFileSync(path)
  const at = bytes.indexOf(`"${name}"`)
  bytes.write('X', at + 1)
  writeFileSync(path, bytes)
}

interface Case {
  readonly title: string
  readonly args: () => readonly string[]
  readonly exitCode: number
  readonly code: string
  readonly sentence: RegExp
}

const withModel = (name: string, harm: (folder: string) => void) => () => {
  // Quiet, since a damaged autoencoder is noticed only after steps were reported.
  return ['x', '-q', '--model', brokenModel(name, harm)]
}

const CASES: readonly Case[] = [
  {
    title: 'no prompt',
    args: () => [],
    exitCode: 2,
    code: 'INVALID_REQUEST',
    sentence: /There is no prompt on stdin; give it in quotes, .*, or an image by --from/,
  },
  {
    title: 'an unknown flag',
    args: () => ['x', '--stepz', '3'],
    exitCode: 2,
    code: 'INVALID_REQUEST',
    sentence: /--stepz/,
  },
  {
    title: 'a width that is not a multiple of 8',
    args: () => ['x', '--width', '130'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /--width must be .* multiple of 8, not "130"/ },
  },
  {
    title: 'a number of steps that is no number',
    args: () => ['x', '--steps', 'many'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /--steps must be a whole number from 1 to 1000, not "many"/ },
  },
  {
    title: 'an unknown scheduler',
    args: () => ['x', '--scheduler', 'oiler'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /"oiler".*Euler/ },
  },
  {
    title: 'a mask of another size',
    args: () => ['x', '--image', 'image.png', '--mask', 'mask.png'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /The mask is 64x128, but the image 128x128; give a mask of/ },
  },
  {
    title: 'a corrupt PNG',
    args: () => ['x', '--image', 'cut.png'],
    ...{
      exitCode: 2,
      code: 'INVALID_REQUEST',
      sentence: /The image \(.*cut\.png\) cannot be decoded .* Give an intact/,
    },
  },
  {
    title: 'a corrupt PNG to make again',
    args: () => ['--from', 'cut.png'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /The PNG file is damaged: .* Copy or download it again/ },
  },
  {
    title: 'a picture that does not exist',
    args: () => ['x', '--image', 'nowhere.png'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /--image: there is no file .*nowhere\.png; check the name/ },
  },
  {
    title: 'a picture that is a directory',
    args: () => ['x', '--control', 'canny=.'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /--control: .* is a directory; name a picture in it/ },
  },
  {
    title: 'a clip skip that the text encoder is too small for',
    args: () => ['x', '--clip-skip', '3'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /clip skip of 3 is too large; this model allows 0 to 2/ },
  },
  {
    title: 'flags that contradict each other',
    args: () => ['x', '--strength', '0.5', '--mask', 'mask.png', '--lora-at', '3', '--lora-bound', '2'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST' },
    sentence:
      /These flags do not go together: --mask needs --image; --strength needs --image; --lora-at fixes the step/,
  },
  {
    title: 'a word that a flag does not know',
    args: () => ['x', '--rng', 'gpu'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /--rng=gpu to be one of: cpu, nv/ },
  },
  {
    title: 'a LoRA scale that is no number',
    args: () => ['x', '--lora', 'stripes@te=much'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /has the te "much", which must be a number from -10 to 10/ },
  },
  {
    title: 'an unknown LoRA',
    args: () => ['x', '--lora', 'strips'],
    ...{ exitCode: 4, code: 'MODEL_NOT_FOUND', sentence: /no LoRA "strips".*stripes/ },
  },
  {
    title: 'an unknown LoRA in the prompt',
    args: () => ['a star <lora:neom:0.8>'],
    ...{ exitCode: 4, code: 'MODEL_NOT_FOUND', sentence: /no LoRA "neom".*neon/ },
  },
  {
    title: 'an unknown ControlNet',
    args: () => ['x', '--control', 'cany=image.png'],
    ...{ exitCode: 4, code: 'MODEL_NOT_FOUND', sentence: /no ControlNet "cany".*canny/ },
  },
  {
    title: 'an inpainting model without a mask',
    args: () => ['x', '--model', resolve('fixtures/goldens/sd15-inpaint/model')],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /is an inpainting model .*; give it an image and a mask/ },
  },
  {
    title: 'a second prompt in the a1111 syntax',
    args: () => ['x', '--prompt-2', 'y', '--prompt-syntax', 'a1111'],
    ...{ exitCode: 2, code: 'INVALID_REQUEST', sentence: /--prompt-2 needs --prompt-syntax diffusers/ },
  },
  {
    title: 'an unknown model name',
    args: () => ['x', '--model', 'dmeo'],
    ...{ exitCode: 4, code: 'MODEL_NOT_FOUND', sentence: /no model "dmeo".*demo/ },
  },
  {
    title: 'a model folder that does not exist',
    args: () => ['x', '--model', './nowhere'],
    ...{ exitCode: 4, code: 'MODEL_NOT_FOUND', sentence: /nowhere/ },
  },
  {
    title: 'an output path in no directory',
    args: () => ['x', '-o', 'no/such/folder/a.png'],
    ...{ exitCode: 10, code: 'OUTPUT_NOT_WRITABLE', sentence: /Cannot write .*a\.png: there is no directory/ },
  },
  {
    title: 'an output path through a file',
    args: () => ['x', '-o', '/dev/null/a.png'],
    ...{ exitCode: 10, code: 'OUTPUT_NOT_WRITABLE', sentence: /\/dev\/null is not a directory/ },
  },
  {
    title: 'a prompt of 10,000 words',
    args: () => ['lorem '.repeat(10_000)],
    ...{ exitCode: 7, code: 'PROMPT_TOO_LONG', sentence: /60000 characters; at most 20000/ },
  },
  {
    title: 'a prompt of 10,000 one-letter words',
    args: () => ['a '.repeat(10_000).trim()],
    ...{ exitCode: 7, code: 'PROMPT_TOO_LONG', sentence: /2000 tokens/ },
  },
  {
    title: 'a truncated weights file',
    args: withModel('truncated', (folder) => truncateSync(join(folder, UNET_WEIGHTS), 1_000_000)),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /diffusion_pytorch_model\.safetensors .*truncated/ },
  },
  {
    title: 'a weights file whose header claims more than the file has',
    args: withModel('lying', (folder) => claimHeaderLength(folder, 90_000_000n)),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /header claims 90000000 bytes/ },
  },
  {
    title: 'a weights file with a huge header',
    args: withModel('huge', (folder) => claimHeaderLength(folder, 2n ** 63n)),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /header claims 9223372036854775808 bytes/ },
  },
  {
    title: 'a weights file whose header is no JSON',
    args: withModel('garbage', (folder) => writeFileSync(join(folder, UNET_WEIGHTS), Buffer.alloc(4096))),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /not a valid safetensors file/ },
  },
  {
    title: 'weights of another network',
    args: withModel('mixed', (folder) => {
      cpSync(join(folder, 'vae/diffusion_pytorch_model.safetensors'), join(folder, UNET_WEIGHTS))
    }),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /diffusion_pytorch_model\.safetensors/ },
  },
  {
    title: 'a weights file without one of the tensors',
    args: withModel('incomplete', (folder) => renameTensor(folder, UNET_WEIGHTS, 'conv_in.weight')),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /diffusion_pytorch_model\.safetensors.*conv_in\.weight/ },
  },
  {
    title: 'a UNet with NaN weights',
    args: withModel('nan-unet', (folder) => spoil(folder, UNET_WEIGHTS, 'time_embedding.linear_1.weight')),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /unet.*\(NaN\) in "time_embedding\.linear_1\.weight"/ },
  },
  {
    title: 'a text encoder with NaN weights',
    args: withModel('nan-text', (folder) => {
      spoil(folder, 'text_encoder/model.safetensors', 'text_model.final_layer_norm.weight')
      spoil(folder, 'text_encoder/model.safetensors', 'text_model.encoder.layers.0.layer_norm1.weight')
    }),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /text_encoder.*\(NaN\) in "text_model\./ },
  },
  {
    title: 'an autoencoder with NaN weights',
    args: withModel('nan-vae', (folder) =>
      spoil(folder, 'vae/diffusion_pytorch_model.safetensors', 'decoder.conv_in.weight'),
    ),
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /vae.*\(NaN\) in "decoder\.conv_in\.weight"/ },
  },
  {
    title: 'an autoencoder that reads a picture with NaN weights',
    args: () => {
      const harm = (folder: string): void => {
        spoil(folder, 'vae/diffusion_pytorch_model.safetensors', 'encoder.conv_in.weight')
      }
      return [...withModel('nan-encoder', harm)(), '--image', 'image.png']
    },
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /vae.*\(NaN\) in "encoder\.conv_in\.weight"/ },
  },
  {
    title: 'a ControlNet with NaN weights',
    args: () => {
      const folder = join(sandbox.paths.runtimeDirectory, 'nan-control')
      cpSync('fixtures/models/controlnets/canny', folder, { recursive: true })
      spoil(folder, 'diffusion_pytorch_model.safetensors', 'add_embedding.linear_1.bias')
      return ['x', '-q', '--control', `${folder}=${resolve('fixtures/models/examples/control_canny.png')}`]
    },
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /nan-control.*\(NaN\) in "add_embedding\.linear_1\.bias"/ },
  },
  {
    title: 'a LoRA whose strength is NaN',
    args: () => {
      const file = join(sandbox.paths.runtimeDirectory, 'nan-alpha.safetensors')
      cpSync('fixtures/models/loras/neon.safetensors', file)
      spoil('', file, 'lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_k.alpha')
      return ['x', '-q', '--lora', 'stripes', '--lora', file]
    },
    ...{ exitCode: 8, code: 'INVALID_WEIGHTS', sentence: /^Error: \S*nan-alpha.*\(NaN\) in "lora_unet_\w*\.alpha"/ },
  },
  {
    title: 'a ControlNet for another base',
    args: () => {
      const [network, picture] = ['goldens/sd15/controlnet-a', 'models/examples/control_canny.png'].map((path) =>
        resolve('fixtures', path),
      )
      return ['x', '-q', '--control', `${network}=${picture}`]
    },
    ...{
      exitCode: 8,
      code: 'INVALID_WEIGHTS',
      sentence: /prompts 32 wide, but the model ".*" .* SDXL with prompts 128/,
    },
  },
  {
    title: 'a config with missing values',
    args: withModel('missing', (folder) => changeConfig(folder, 'unet/config.json', { block_out_channels: undefined })),
    ...{ exitCode: 9, code: 'INVALID_CONFIG', sentence: /unet\/config\.json.*block_out_channels/ },
  },
  {
    title: 'a config with absurd values',
    args: withModel('absurd', (folder) =>
      changeConfig(folder, 'unet/config.json', { block_out_channels: [1e9, 2, 3] }),
    ),
    ...{ exitCode: 9, code: 'INVALID_CONFIG', sentence: /unet\/config\.json.*block_out_channels/ },
  },
  {
    title: 'a config that is not JSON',
    args: withModel('prose', (folder) => writeFileSync(join(folder, 'vae/config.json'), 'Dear reader')),
    ...{ exitCode: 9, code: 'INVALID_CONFIG', sentence: /vae\/config\.json/ },
  },
  {
    title: 'a model with pickled weights only',
    args: withModel('pickled', (folder) => {
      rmSync(join(folder, UNET_WEIGHTS))
      writeFileSync(join(folder, 'unet/diffusion_pytorch_model.bin'), '')
    }),
    ...{ exitCode: 11, code: 'UNSUPPORTED_MODEL', sentence: /pickled/ },
  },
  {
    title: 'a pipeline of another kind',
    args: withModel('flux', (folder) => changeConfig(folder, 'model_index.json', { _class_name: 'FluxPipeline' })),
    ...{ exitCode: 11, code: 'UNSUPPORTED_MODEL', sentence: /FluxPipeline/ },
  },
]

describe('bad input', () => {
  it.each(CASES)(
    '$title: one sentence, exit code $exitCode, nothing written',
    async ({ args, exitCode, code, sentence }) => {
      const before = readdirSync(sandbox.directory)
      const given = ['generate', ...args()]

      const plain = await sandbox.run(given)
      expect(plain).toMatchObject({ exitCode, stdout: '' })
      expect(plain.stderr).toMatch(/^Error: [^\n]+$/)
      expect(plain.stderr).toMatch(sentence)
      expect(plain.stderr).not.toMatch(/\n\s+at |unexpectedly/)

      const json = await sandbox.run([...given, '--json'])
      expect({ exitCode: json.exitCode, stderr: json.stderr }).toEqual({ exitCode, stderr: '' })
      expect(JSON.parse(json.stdout)).toEqual({ error: { code, message: plain.stderr.replace('Error: ', '') } })

      expect(readdirSync(sandbox.directory)).toEqual(before)
    },
  )

  it('ends a job at the first step whose values are no numbers', async () => {
    const model = brokenModel('nan-early', (folder) => spoil(folder, UNET_WEIGHTS, 'time_embedding.linear_1.weight'))
    const client = sandbox.connect()
    const { id } = await client.submit({ prompt: 'x', model, numInferenceSteps: 200 })
    const types = []
    for await (const { type } of client.events(id)) types.push(type)
    expect(types.at(-1)).toBe('failed')
    expect(types).not.toContain('step')
  })

  it('refuses a directory as the output file', async () => {
    mkdirSync(join(sandbox.directory, 'folder'))
    const { exitCode, stderr } = await sandbox.run(['generate', 'x', '-o', 'folder'])
    expect([exitCode, stderr]).toEqual([10, expect.stringContaining('it is a directory; name a file in it')])
  })

  it('refuses several images on one stdout', async () => {
    const { exitCode, stderr } = await sandbox.run(['generate', 'x', '-o', '-', '-n', '2'])
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('"-o -" takes one image, not the 2 of --n')])
  })

  it('refuses two results on one stdout', async () => {
    const { exitCode, stdout } = await sandbox.run(['generate', 'x', '-o', '-', '--json'])
    expect(exitCode).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'INVALID_REQUEST' } })
  })

  it('shows a stack trace only when it is asked for', async () => {
    const { stderr } = await sandbox.run(['generate', 'x', '--model', 'dmeo'], { env: { SWIFTD_DEBUG: '1' } })
    expect(stderr).toMatch(/^Error: [^\n]+\n.*\n\s+at /)
  })

  it('leaves the daemon alive and able to work', async () => {
    expect((await sandbox.connect().status()).pid).toBe(daemonPid)
    const { exitCode } = await sandbox.run(['generate', 'a red star', '--steps', '2', '-o', 'after.png', '-q'])
    expect(exitCode).toBe(0)
  })
})
