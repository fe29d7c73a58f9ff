/** A LoRA that a prompt names. */
export interface LoraTag {
  readonly name: string
  /** How strongly it changes the text encoders. */
  readonly textEncoderScale: number
  /** How strongly it changes the UNet. */
  readonly unetScale: number
  /** How many of its ranks to use; absent for all. */
  readonly rank?: number
  /** As it stands in the prompt. */
  readonly tag: string
}

const TAG = /<(?:lora|lyco):([^>]+)>/g

/**
 * Takes the LoRA tags out of a prompt, as stable-diffusion-webui does before anything else reads it (`re_extra_net` of
 * modules/extra_networks.py, extensions-builtin/Lora/extra_networks_lora.py): `<lora:name:te:unet:dyn>`, each number also
 * by name (`te=0.5`, `unet=`, `dyn=`). One number is for both parts, none is 1. Spaces around the tag stay.
 * @returns the prompt without the tags, and the tags in their order; a tag whose numbers are none stays in the prompt
 */
export function extractLoraTags(prompt: string): { prompt: string; loras: LoraTag[] } {
  const loras: LoraTag[] = []
  const rest = prompt.replace(TAG, (tag, items: string) => {
    const lora = parseTag(tag, items.split(':'))
    if (!lora) return tag
    loras.push(lora)
    return ''
  })
  return { prompt: rest, loras }
}

function parseTag(tag: string, items: readonly string[]): LoraTag | undefined {
  const named = new Map<string, string>()
  const positional: string[] = []
  for (const item of items) {
    const [key, value, ...more] = item.split('=')
    if (key !== undefined && value !== undefined && more.length === 0) named.set(key.trim(), value)
    else positional.push(item)
  }
  const [name, te, unet, dyn] = positional
  const textEncoderScale = numberOf(named.get('te') ?? te ?? '1')
  const unetScale = numberOf(named.get('unet') ?? unet ?? String(textEncoderScale))
  const rank = numberOf(named.get('dyn') ?? dyn ?? '0')
  if (!name?.trim() || textEncoderScale === undefined || unetScale === undefined || rank === undefined) return undefined
  return { name: name.trim(), textEncoderScale, unetScale, ...(rank > 0 && { rank: Math.trunc(rank) }), tag }
}

function numberOf(text: string): number | undefined {
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined
}
