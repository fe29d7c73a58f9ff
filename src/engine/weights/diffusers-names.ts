import type { SafetensorsFile } from './safetensors.js'
import type { NameMapping } from './weights.js'

/** Parts of autoencoder attention layers since 2023, and what files of 2022 call them. */
const OLD_VAE_ATTENTION: Readonly<Record<string, string>> = {
  to_q: 'query',
  to_k: 'key',
  to_v: 'value',
  'to_out.0': 'proj_attn',
}

const VAE_ATTENTION = /^((?:en|de)coder\.mid_block\.attentions\.0)\.(to_q|to_k|to_v|to_out\.0)\.(weight|bias)$/

/** Names in a diffusers autoencoder file, which has today's attention names or the older ones of published SD1.x folders. */
export function diffusersVaeNames(file: SafetensorsFile): NameMapping {
  if (!file.tensors.has('decoder.mid_block.attentions.0.query.weight')) return (name) => ({ name })
  return (name) => ({
    name: name.replace(
      VAE_ATTENTION,
      (_, block: string, part: string, kind: string) => `${block}.${OLD_VAE_ATTENTION[part]}.${kind}`,
    ),
  })
}
