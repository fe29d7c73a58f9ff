/** Words that names of distillation LoRAs have in them. */
const WORDS = /(^|[^a-z])(lcm|tcd|pcm|dmd2?|lightning|turbo|hyper(?=[^a-z]*(sd|\d+[^a-z]*step)))([^a-z]|$)/i

/** Fields in which training programs and model sites keep a LoRA's name. */
const NAME_FIELDS = ['ss_output_name', 'modelspec.title', 'modelspec.implementation', 'lora_name', 'name']

/**
 * Whether a LoRA looks like a distillation: LCM, TCD, PCM, DMD, Lightning, Hyper-SD or Turbo, by its name or its metadata.
 * Such a LoRA makes a model denoise in few steps, and the steps without it would be of another model altogether. A style
 * that happens to be called so is taken for one, too, which does no harm but that it has to be there from the first step.
 * @param metadata of the safetensors header
 */
export function isDistillationLora({
  name,
  metadata,
}: {
  readonly name: string
  readonly metadata: Readonly<Record<string, string>>
}): boolean {
  return [name, ...NAME_FIELDS.map((field) => metadata[field] ?? '')].some((text) => WORDS.test(splitWords(text)))
}

/** `HyperSD` and `LCMTurbo` are two words each. */
function splitWords(text: string): string {
  return text.replace(/([a-z\d])([A-Z])/g, '$1 $2').replace(/([A-Z]{2,})([A-Z][a-z])/g, '$1 $2')
}
