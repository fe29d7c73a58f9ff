import type { SafetensorsFile } from './safetensors.js'

/** Whether a file has a tensor whose name begins so. */
export function hasPrefix({ tensors }: SafetensorsFile, prefix: string): boolean {
  for (const name of tensors.keys()) if (name.startsWith(prefix)) return true
  return false
}

/** Kinds of weights files, by a tensor that only they have; the first that matches names the file. */
const KINDS: readonly [RegExp, string][] = [
  [/^lora_controlnet$/, 'a Control-LoRA'],
  [/^lllite_/, 'a ControlNet-LLLite'],
  [/^(control_add_embedding|task_embedding|transformer_layes)\b/, 'a union ControlNet'],
  [/^(adapter\.)?body\.\d+\./, 'a T2I-Adapter'],
  [/^(control_model\.)?input_hint_block\./, 'a ControlNet'],
  [/^controlnet_cond_embedding\./, 'a ControlNet'],
  [/(^lora_|[._]lora[._](A|B|up|down)|\.lora_linear_layer\.|\.(hada|lokr)_w)/, 'a LoRA'],
  [/^model\.diffusion_model\./, 'a base model'],
  [/^(first_stage_model\.)?decoder\.conv_in\./, 'an autoencoder (VAE)'],
  [/^(down_blocks|up_blocks)\./, 'a UNet of a diffusers folder'],
  [/^text_model\.|^transformer\.resblocks\./, 'a text encoder'],
]

/** What a file holds, as a phrase for a sentence about it: `is a LoRA`. */
export function describeContents(file: SafetensorsFile): string {
  const names = [...file.tensors.keys()]
  const kind = KINDS.find(([pattern]) => names.some((name) => pattern.test(name)))
  return kind ? `is ${kind[1]}` : 'is of a kind that swiftd does not know'
}
