/**
 * The CLIP tokenizer: byte-pair encoding of lower-cased text, as transformers' CLIPTokenizer does it.
 *
 * The merging itself is done by @huggingface/tokenizers, whose configuration is assembled here from vocab.json and
 * merges.txt: the published checkpoints of the SD1.x and SD2.x families carry no tokenizer.json, and where there is one its
 * added tokens differ between exports (some make the padding "!" of SD2.x and SDXL a special token, which would split "!!!"
 * otherwise than the networks were trained with). So one source serves every folder; tokenizer.json is only read for the
 * vocabulary where vocab.json is absent.
 */
import { Tokenizer } from '@huggingface/tokenizers'
import { SwiftdError } from '../errors.js'
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.js'

/** What is used of the library. Declared here because its own type files do not resolve under Node's module rules. */
interface BytePairEncoder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] }
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string
}
const LibraryTokenizer = Tokenizer as unknown as new (tokenizer: object, config: object) => BytePairEncoder

/** The longest prompt that is accepted, in tokens: 26 chunks of 75, far beyond what any prompt needs. */
export const MAX_PROMPT_TOKENS = 2_000

/** Checked before anything is tokenised, so that megabytes of text cost nothing: 10 characters for each token. */
export const MAX_PROMPT_CHARACTERS = 10 * MAX_PROMPT_TOKENS

/** One prompt as the text encoder takes it. */
export interface EncodedPrompt {
  /** Exactly `contextLength` token ids: begin, at most `contextLength - 2` tokens, end, padding. */
  readonly ids: number[]
  /** Tokens of the whole prompt, without begin, end and padding, before truncation. */
  readonly tokenCount: number
  /** The end of the prompt that did not fit, lower-cased as the tokenizer sees it; absent if all of it did. */
  readonly truncatedText?: string
}

export interface ClipTokenizer {
  /** Length of an encoded prompt with begin and end, 77 for every published CLIP. */
  readonly contextLength: number
  readonly beginId: number
  readonly endId: number
  /** Fills up short prompts: the end token for SD1.x and SDXL's first encoder, "!" for SD2.x and SDXL's second. */
  readonly padId: number
  /**
   * Encodes one prompt; text beyond the context length is left out as diffusers does.
   * @throws SwiftdError PROMPT_TOO_LONG beyond MAX_PROMPT_TOKENS
   */
  encode(text: string): EncodedPrompt
  /**
   * The token ids of all of `text`, without begin, end and padding.
   * @throws SwiftdError PROMPT_TOO_LONG beyond MAX_PROMPT_TOKENS
   */
  tokenIds(text: string): number[]
}

/**
 * Opens a diffusers tokenizer folder.
 * @throws SwiftdError INVALID_CONFIG if a file is missing or malformed
 */
export async function openTokenizer(directory: string): Promise<ClipTokenizer> {
  const files = await readTokenizerFiles(directory)
  const library = assemble(files)
  const { beginId, endId, padId, contextLength } = files

  function tokenIds(text: string): number[] {
    checkPromptLength(text)
    const { ids } = library.encode(text, { add_special_tokens: false })
    if (ids.length > MAX_PROMPT_TOKENS) throw tooLong(text, `${MAX_PROMPT_TOKENS} tokens`)
    return ids
  }

  function encode(text: string): EncodedPrompt {
    const tokens = tokenIds(text)
    const room = contextLength - 2
    const ids = [beginId, ...tokens.slice(0, room), endId]
    while (ids.length < contextLength) ids.push(padId)
    if (tokens.length <= room) return { ids, tokenCount: tokens.length }
    const truncatedText = library.decode(tokens.slice(room), { clean_up_tokenization_spaces: false }).trim()
    return { ids, tokenCount: tokens.length, truncatedText }
  }

  return { contextLength, beginId, endId, padId, encode, tokenIds }
}

/**
 * Refuses megabytes of text before anything is done with them.
 * @throws SwiftdError PROMPT_TOO_LONG beyond MAX_PROMPT_CHARACTERS
 */
export function checkPromptLength(text: string): void {
  if (text.length > MAX_PROMPT_CHARACTERS) throw tooLong(text, `${MAX_PROMPT_CHARACTERS} characters`)
}

/** The steps of transformers' CLIPTokenizer (models/clip/tokenization_clip.py), in the library's vocabulary. */
function assemble(files: TokenizerFiles): BytePairEncoder {
  const special = (content: string, id: number) => ({
    content,
    id,
    special: true,
    lstrip: false,
    rstrip: false,
    normalized: false,
    single_word: false,
  })
  return new LibraryTokenizer(
    {
      added_tokens: [special(files.beginToken, files.beginId), special(files.endToken, files.endId)],
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'NFC' },
          { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
          { type: 'Lowercase' },
        ],
      },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          {
            type: 'Split',
            pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
            behavior: 'Removed',
            invert: true,
          },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: null,
      decoder: { type: 'ByteLevel' },
      model: {
        type: 'BPE',
        unk_token: files.unknownToken,
        continuing_subword_prefix: '',
        end_of_word_suffix: '</w>',
        fuse_unk: false,
        byte_fallback: false,
        vocab: files.vocabulary,
        merges: files.merges,
      },
    },
    {},
  )
}

function tooLong(text: string, limit: string): SwiftdError {
  const words = text.match(/\S+/g)?.length ?? 0
  const size = `${words} ${words === 1 ? 'word' : 'words'} (${text.length} characters)`
  return new SwiftdError('PROMPT_TOO_LONG', `The prompt has ${size}; at most ${limit} are allowed. Shorten it.`)
}
