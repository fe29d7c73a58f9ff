import { describe, expect, it } from 'vitest'
import { selectFile, selectFolder, type HubFile } from './selection.js'

const list = (...paths: string[]): HubFile[] => paths.map((path) => ({ path, size: 1, gitId: 'a'.repeat(40) }))

const published = list(
  '.gitattributes',
  'README.md',
  'model_index.json',
  'v1-5.ckpt',
  'v1-5.safetensors',
  'feature_extractor/preprocessor_config.json',
  'safety_checker/config.json',
  'safety_checker/model.safetensors',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  'text_encoder/model.fp16.safetensors',
  'text_encoder/model.safetensors',
  'text_encoder/pytorch_model.bin',
  'tokenizer/merges.txt',
  'tokenizer/special_tokens_map.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/vocab.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.bin',
  'unet/diffusion_pytorch_model.fp16.safetensors',
  'unet/diffusion_pytorch_model.non_ema.safetensors',
  'unet/diffusion_pytorch_model.safetensors',
  'vae/config.json',
  'vae/diffusion_pytorch_model.safetensors',
)

const weightsOf = (files: readonly HubFile[]): string[] =>
  files.map(({ path }) => path).filter((path) => path.endsWith('.safetensors'))

describe('what is pulled of a repository', () => {
  it('is what swiftd reads, and no pickled file', () => {
    expect(selectFolder('me/fox', published, undefined).map(({ path }) => path)).toEqual([
      'model_index.json',
      'scheduler/scheduler_config.json',
      'text_encoder/config.json',
      'unet/config.json',
      'vae/config.json',
      'tokenizer/vocab.json',
      'tokenizer/merges.txt',
      'tokenizer/tokenizer_config.json',
      'tokenizer/special_tokens_map.json',
      'text_encoder/model.safetensors',
      'unet/diffusion_pytorch_model.safetensors',
      'vae/diffusion_pytorch_model.safetensors',
    ])
  })

  it('has the wanted variant of each component that has one', () => {
    expect(weightsOf(selectFolder('me/fox', published, 'fp16'))).toEqual([
      'text_encoder/model.fp16.safetensors',
      'unet/diffusion_pytorch_model.fp16.safetensors',
      'vae/diffusion_pytorch_model.safetensors',
    ])
  })

  it('has the fp16 weights where there are no others', () => {
    const files = published.filter(({ path }) => path !== 'text_encoder/model.safetensors')
    expect(weightsOf(selectFolder('me/fox', files, undefined))[0]).toBe('text_encoder/model.fp16.safetensors')
  })

  it('is refused where a variant, safetensors weights or the folder is missing, with what there is', () => {
    expect(() => selectFolder('me/fox', published, 'int8')).toThrow(/"int8"; it has fp16, non_ema/)
    const pickled = published.filter(({ path }) => !/^vae.*safetensors$/.test(path))
    const withBin = [...pickled, ...list('vae/diffusion_pytorch_model.bin')]
    expect(() => selectFolder('me/fox', withBin, undefined)).toThrow(/vae has only pickled weights/)
    const split = [...pickled, ...list('vae/diffusion_pytorch_model-00001-of-00002.safetensors')]
    expect(() => selectFolder('me/fox', split, undefined)).toThrow(/vae is split/)
    expect(() => selectFolder('me/fox', list('fox.safetensors'), undefined)).toThrow(/pull me\/fox\/fox.safetensors/)
  })

  it('is one file where one is named', () => {
    expect(selectFile('me/fox', published, 'v1-5.safetensors').path).toBe('v1-5.safetensors')
    expect(() => selectFile('me/fox', published, 'v1-4.safetensors')).toThrow(/try v1-5.safetensors/)
  })
})
