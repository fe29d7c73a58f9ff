import { join } from 'node:path'
import { SwiftdError } from '../../../engine/errors.js'

/** How the model hub is reached, in the terms of the environment variables that the hub's own tools read. */
export interface HubSettings {
  /** HF_ENDPOINT, without a slash at its end. @default https://huggingface.co */
  readonly endpoint: string
  /** HF_TOKEN: for private and gated models. */
  readonly token?: string
  /** HF_HUB_OFFLINE: use what is in the cache, and never the network. */
  readonly offline: boolean
  /** Root of a cache in the hub's layout: that of HF_HOME, which is shared with other programs, or swiftd's own. */
  readonly cacheDirectory: string
}

/**
 * @param modelsDirectory swiftd's own; pulled models lie in it where HF_HOME is not set
 * @throws SwiftdError INVALID_REQUEST if a variable has an impossible value
 */
export function hubSettings(environment: NodeJS.ProcessEnv, modelsDirectory: string): HubSettings {
  const { HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_TOKEN } = environment
  return {
    endpoint: readEndpoint(HF_ENDPOINT || 'https://huggingface.co'),
    token: readToken(HF_TOKEN?.trim()),
    offline: ['1', 'on', 'yes', 'true'].includes((HF_HUB_OFFLINE ?? '').toLowerCase()),
    cacheDirectory: HF_HUB_CACHE || (HF_HOME ? join(HF_HOME, 'hub') : join(modelsDirectory, 'hub')),
  }
}

function readEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, '')
  throw new SwiftdError('INVALID_REQUEST', `HF_ENDPOINT must be the http(s) address of a model hub, not "${text}".`)
}

/** The value is a secret: no message repeats it. */
function readToken(token: string | undefined): string | undefined {
  if (!token) return undefined
  if (token.startsWith('hf_')) return token
  throw new SwiftdError('INVALID_REQUEST', 'HF_TOKEN is not a token of the hub, which begins with "hf_"; correct it.')
}
