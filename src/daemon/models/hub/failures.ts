import { SwiftdError } from '../../../engine/errors.js'
import type { HubAddress } from './address.js'
import type { HubSettings } from './settings.js'

/** The HTTP status that the hub's library reports with an error. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined
  return typeof error.statusCode === 'number' ? error.statusCode : undefined
}

/** Whether the same request may succeed in a moment: the connection broke, or the hub is overloaded. */
export function isPassing(error: unknown): boolean {
  if (error instanceof SwiftdError) return false
  const status = statusOf(error)
  return status === undefined || status === 408 || status === 429 || status >= 500
}

/** What a failed request to the hub means for a person. */
export function explainHubFailure(error: unknown, address: HubAddress, settings: HubSettings): SwiftdError {
  if (error instanceof SwiftdError) return error
  const { repository, revision } = address
  const { endpoint, token } = settings
  const failure = (code: 'MODEL_NOT_FOUND' | 'DOWNLOAD_FAILED', sentence: string): SwiftdError =>
    new SwiftdError(code, sentence, { cause: error })
  switch (statusOf(error)) {
    case 401: {
      const remedy = token ? 'or your HF_TOKEN does not open it' : 'or private: set HF_TOKEN then'
      return failure('MODEL_NOT_FOUND', `${repository} is not on ${endpoint}, ${remedy}; check the name.`)
    }
    case 403: {
      const remedy = `accept its terms at ${endpoint}/${repository} and set HF_TOKEN to a token of that account`
      return failure('MODEL_NOT_FOUND', `Access to ${repository} is restricted; ${remedy}.`)
    }
    case 404:
      return failure('MODEL_NOT_FOUND', `${endpoint} has no ${repository}, or not its revision "${revision}".`)
    case undefined:
      return failure('DOWNLOAD_FAILED', `The connection to ${endpoint} failed (${reasonOf(error)}); ${RETRY}.`)
    default:
      return failure('DOWNLOAD_FAILED', `${endpoint} answered with status ${statusOf(error)}; ${RETRY}.`)
  }
}

const RETRY = 'try again later, what is downloaded already is kept'

/** fetch hides the reason in the cause; the library passes some errors on as bare text. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : cause.message
  return error.message
}
