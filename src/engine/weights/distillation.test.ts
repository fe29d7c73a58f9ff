import { describe, expect, it } from 'vitest'
import { isDistillationLora } from './distillation.js'

const looksSo = (name: string, metadata = {}): boolean => isDistillationLora({ name, metadata })

describe('distillation LoRAs', () => {
  it.each([
    'lcm-lora-sdv1-5',
    'LCM_LoRA_Weights_SD15',
    'sdxl_lightning_4step_lora',
    'Hyper-SDXL-8steps-lora',
    'HyperSD15_4step',
    'sd_xl_turbo_lora_v1',
    'DMD2_sdxl_4step_lora_fp16',
    'TCD-SDXL-LoRA',
    'pcm_sd15_smallcfg_2step',
  ])('are told by the name %s', (name) => expect(looksSo(name)).toBe(true))

  it.each(['stripes', 'turbocharger', 'hyperrealism-v2', 'hyper_detailed', 'balcony', 'lcmap'])(
    'are not what is called %s',
    (name) => expect(looksSo(name)).toBe(false),
  )

  it('are told by their metadata', () => {
    expect(looksSo('renamed', { ss_output_name: 'lcm' })).toBe(true)
    expect(looksSo('renamed', { 'modelspec.title': 'SDXL Lightning' })).toBe(true)
    expect(looksSo('renamed', { 'modelspec.description': 'unlike lcm' })).toBe(false)
  })
})
