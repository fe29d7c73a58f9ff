import type { ParityKind } from '../context.js'
import { controlnet } from './controlnet.js'
import { loraTextEncoder, loraUnet } from './lora.js'
import { pipeline } from './pipeline.js'
import { scheduler } from './scheduler.js'
import { textEncoder } from './text-encoder.js'
import { tokenizer } from './tokenizer.js'
import { torchRandn } from './torch-randn.js'
import { unet } from './unet.js'
import { vaeDecode, vaeEncode } from './vae.js'

/** Every kind of case that the engine can run, by the name cases.json gives it. Other kinds are reported as skipped. */
export const kinds: Readonly<Record<string, ParityKind>> = {
  controlnet,
  lora_text_encoder: loraTextEncoder,
  lora_unet: loraUnet,
  pipeline,
  scheduler,
  text_encoder: textEncoder,
  tokenizer,
  torch_randn: torchRandn,
  unet,
  vae_decode: vaeDecode,
  vae_encode: vaeEncode,
}
