import { fileURLToPath } from 'node:url'

/** The vocabularies that come with swiftd; `../../../` is the package's root from src as well as from dist. */
const TOKENIZERS = new URL('../../../fixtures/tokenizers/', import.meta.url)

/**
 * The folder of the published CLIP tokenizer, which single-file checkpoints do not carry.
 * @param pad what fills up short prompts: the end token (SD1.x, SDXL's first encoder), or token 0 (OpenCLIP models)
 */
export function publishedTokenizerDirectory(pad: 'end' | 'zero'): string {
  return fileURLToPath(new URL(pad === 'end' ? 'clip' : 'clip-zero-padded', TOKENIZERS))
}
