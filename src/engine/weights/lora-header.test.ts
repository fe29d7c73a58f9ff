import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readLoraHeader } from './lora-header.js'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))
const golden = (path: string): string => join(fixtures, 'goldens', path)

describe('LoRA headers', () => {
  it.each([
    ['sd15/lora/a.peft.safetensors', 'diffusers'],
    ['sd15/lora/a.diffusers.safetensors', 'old diffusers'],
    ['sd15/lora/a.attn-procs.safetensors', 'old diffusers'],
    ['sd15/lora/b.kohya.safetensors', 'kohya'],
  ])('tell the format of %s', (path, format) => expect(readLoraHeader(golden(path)).format).toBe(format))

  it('tell ranks, alphas and how many layers of each network change', () => {
    const forms = ['a.peft', 'a.diffusers', 'a.attn-procs'].map((name) =>
      readLoraHeader(golden(`sd15/lora/${name}.safetensors`)),
    )
    const summaries = forms.map(({ ranks, alphas, layers }) => ({ ranks, alphas, layers }))
    expect(summaries[0]).toEqual({ ranks: [4], alphas: [4], layers: { text_encoder: 12, unet: 128 } })
    expect(summaries[1]).toEqual(summaries[0])
    expect(summaries[2]).toEqual(summaries[0])
    const locon = readLoraHeader(golden('sdxl/lora/c-locon.kohya-sgm.safetensors'))
    expect(locon).toMatchObject({ ranks: [1, 2, 3, 4, 5], alphas: [0.5, 1, 2, 4], layers: { unet: 201 } })
  })

  it('tell the family by a second text encoder, or by what the metadata says', () => {
    expect(readLoraHeader(golden('sdxl/lora/b.kohya.safetensors')).family).toBe('sdxl')
    expect(readLoraHeader(join(fixtures, 'models/loras/neon.safetensors')).family).toBe('sdxl')
    expect(readLoraHeader(golden('sd15/lora/d.peft.safetensors')).family).toBeUndefined()
  })

  it('are refused where the file is something else', () => {
    expect(() => readLoraHeader(golden('sd15/sd15.original.safetensors'))).toThrow(/is a base model/)
    expect(() => readLoraHeader(golden('sd15/lora'))).toThrow(/is a folder/)
    expect(() => readLoraHeader(golden('sd15/lora/none.safetensors'))).toThrow(/no LoRA at/)
    const directory = mkdtempSync(join(tmpdir(), 'swiftd-lora-'))
    writeFileSync(join(directory, 'x.pt'), 'x')
    expect(() => readLoraHeader(join(directory, 'x.pt'))).toThrow(/pickled.*version of the LoRA/)
    rmSync(directory, { recursive: true })
  })
})
