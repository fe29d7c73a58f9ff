import { isSwiftdError, type ErrorCode } from '../../engine/errors.js'

interface ErrorEntry {
  /** The status of an HTTP answer that carries the error. */
  readonly status: number
  /** The exit code of a command that fails with it. Scripts may rely on these. */
  readonly exitCode: number
}

/** Every error code's HTTP status and exit code; `docs/errors.md` says for each what it means and what to do. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorEntry>> = {
  RUNTIME_ERROR: { status: 500, exitCode: 1 },
  INTERNAL_ERROR: { status: 500, exitCode: 1 },
  JOB_NOT_FOUND: { status: 404, exitCode: 1 },
  JOB_EXPIRED: { status: 410, exitCode: 1 },
  INVALID_REQUEST: { status: 400, exitCode: 2 },
  DAEMON_UNREACHABLE: { status: 503, exitCode: 3 },
  MODEL_NOT_FOUND: { status: 404, exitCode: 4 },
  OUT_OF_MEMORY: { status: 507, exitCode: 5 },
  QUEUE_FULL: { status: 429, exitCode: 6 },
  PROMPT_TOO_LONG: { status: 400, exitCode: 7 },
  INVALID_WEIGHTS: { status: 422, exitCode: 8 },
  INVALID_CONFIG: { status: 422, exitCode: 9 },
  OUTPUT_NOT_WRITABLE: { status: 500, exitCode: 10 },
  UNSUPPORTED_MODEL: { status: 422, exitCode: 11 },
  WORKER_LOST: { status: 503, exitCode: 12 },
  DAEMON_VERSION: { status: 426, exitCode: 13 },
  DOWNLOAD_FAILED: { status: 502, exitCode: 14 },
  DEVICE_UNAVAILABLE: { status: 503, exitCode: 15 },
  NOT_FINITE: { status: 500, exitCode: 16 },
  TIMEOUT: { status: 504, exitCode: 124 },
  CANCELLED: { status: 409, exitCode: 130 },
}

/** A failure as it crosses a process border. */
export interface WireError {
  readonly code: ErrorCode
  readonly message: string
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value)
}

/** An error as it crosses a process border. What is not a SwiftdError is a fault of swiftd and says so. */
export function toWireError(error: unknown): WireError {
  if (isSwiftdError(error) && isErrorCode(error.code)) return { code: error.code, message: error.message }
  const reason = error instanceof Error ? error.message : String(error)
  return { code: 'INTERNAL_ERROR', message: `swiftd failed unexpectedly: ${reason}` }
}
