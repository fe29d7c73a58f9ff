/**
 * Every failure that a person can act on has one of these codes. Scripts match on the code, never on the text.
 * The daemon maps each to an HTTP status and an exit code (`src/daemon/protocol/error.ts`).
 */
export type ErrorCode =
  /** A flag or request field has a value outside of what is allowed. */
  | 'INVALID_REQUEST'
  /** The prompt is longer than what can be sensibly encoded. */
  | 'PROMPT_TOO_LONG'
  /** No model of that name or path. */
  | 'MODEL_NOT_FOUND'
  /** The model hub cannot be reached, or a download broke off. */
  | 'DOWNLOAD_FAILED'
  /** A weights file is truncated, corrupt or lies about its contents. */
  | 'INVALID_WEIGHTS'
  /** A config.json is missing, malformed, or has values no network can have. */
  | 'INVALID_CONFIG'
  /** The model is of a kind that swiftd does not run. */
  | 'UNSUPPORTED_MODEL'
  /** The output file cannot be written. */
  | 'OUTPUT_NOT_WRITABLE'
  /** The device or the host has too little memory. */
  | 'OUT_OF_MEMORY'
  /** A device, its driver or its provider is missing or does not work. */
  | 'DEVICE_UNAVAILABLE'
  /** A network computed values that are no finite numbers, though all weights are. */
  | 'NOT_FINITE'
  /** The runtime reported an error of its own. */
  | 'RUNTIME_ERROR'
  /** A worker process died more often than a job may retry. */
  | 'WORKER_LOST'
  /** The job was cancelled. */
  | 'CANCELLED'
  /** The job queue is full. */
  | 'QUEUE_FULL'
  /** No job of that id. */
  | 'JOB_NOT_FOUND'
  /** The job is finished, and its record was dropped to make room. */
  | 'JOB_EXPIRED'
  /** The daemon cannot be reached or started. */
  | 'DAEMON_UNREACHABLE'
  /** The daemon speaks another protocol version. */
  | 'DAEMON_VERSION'
  /** A deadline passed. */
  | 'TIMEOUT'
  /** A fault in swiftd itself: no cause that a person can act on. */
  | 'INTERNAL_ERROR'

/** An error with a sentence for people (what is wrong, the value, what to do) and a stable code for scripts. */
export class SwiftdError extends Error {
  override readonly name = 'SwiftdError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** True for errors that carry a code, also those of another copy of this module. */
export function isSwiftdError(error: unknown): error is SwiftdError {
  return error instanceof Error && error.name === 'SwiftdError' && 'code' in error
}
