import type { Readable } from 'node:stream'
import dispatchRequest from 'undici/lib/api/api-request.js'
import Pool from 'undici/lib/dispatcher/pool.js'
import { SwiftdError } from '../../engine/errors.js'
import { PROTOCOL_HEADER, PROTOCOL_VERSION } from '../protocol/version.js'

/** An HTTP answer of the daemon that was a success. */
export interface Answer {
  readonly body: Readable
  /** Reads the whole body as JSON. */
  json(): Promise<unknown>
  bytes(): Promise<Buffer>
}

export interface RequestOptions {
  /** Sent as JSON. */
  readonly body?: unknown
  /** Serves daemons of another protocol version, too. */
  readonly anyVersion?: boolean
  readonly signal?: AbortSignal
  /** The answer takes as long as it takes. */
  readonly patient?: boolean
}

export interface Transport {
  /**
   * @throws SwiftdError with the daemon's code; DAEMON_UNREACHABLE (its cause is the system's error) if there is no
   * connection; DAEMON_VERSION if the daemon speaks another protocol
   */
  readonly request: (method: 'GET' | 'POST' | 'DELETE', path: string, options?: RequestOptions) => Promise<Answer>
  close(): Promise<void>
}

/** HTTP over the daemon's socket. Event streams keep a connection busy, so there are as many as are needed. */
export function createTransport(socketPath: string): Transport {
  // Event streams may be silent for long; heartbeats tell whether the daemon lives.
  const pool = new Pool('http://swiftd', { connections: null, socketPath, headersTimeout: 60_000, bodyTimeout: 60_000 })
  return {
    async request(method, path, { body, anyVersion = false, signal, patient = false } = {}) {
      const headers = {
        ...(!anyVersion && { [PROTOCOL_HEADER]: String(PROTOCOL_VERSION) }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      }
      const text = body === undefined ? undefined : JSON.stringify(body)
      const response = await dispatchRequest
        .call(pool, { method, path, headers, body: text, signal, ...(patient && { headersTimeout: 0 }) })
        .catch((error: unknown) => Promise.reject(unreachable(error)))
      const bytes = (): Promise<Buffer> =>
        response.body.arrayBuffer().then(
          (content) => Buffer.from(content),
          (error: unknown) => Promise.reject(unreachable(error)),
        )
      const json = async (): Promise<unknown> => JSON.parse((await bytes()).toString('utf8'))
      if (!anyVersion) checkVersion(response.headers[PROTOCOL_HEADER])
      if (response.statusCode >= 400) throw await readError(await json())
      return { body: response.body, json, bytes }
    },
    close: () => pool.destroy(),
  }
}

/** What a lost or refused connection means to people. */
export function unreachable(cause: unknown): SwiftdError {
  const code = systemCode(cause)
  const missing = code === 'ENOENT' || code === 'ECONNREFUSED'
  const sentence = missing
    ? 'The daemon is not running; start it with "swiftd daemon start".'
    : `The connection to the daemon broke (${code ?? String(cause)}); "swiftd daemon logs" may tell why.`
  return new SwiftdError('DAEMON_UNREACHABLE', sentence, { cause })
}

/** True if no daemon listens, so that nothing of the request can have happened. */
export function isNotRunning(error: unknown): boolean {
  const code = error instanceof Error ? systemCode(error.cause) : undefined
  return code === 'ENOENT' || code === 'ECONNREFUSED'
}

function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

function checkVersion(spoken: string | string[] | undefined): void {
  if (spoken === String(PROTOCOL_VERSION)) return
  const versions = `the daemon speaks protocol ${String(spoken ?? 'unknown')}, this swiftd protocol ${PROTOCOL_VERSION}`
  throw new SwiftdError('DAEMON_VERSION', `Versions differ: ${versions}; run "swiftd daemon restart" and try again.`)
}

async function readError(body: unknown): Promise<SwiftdError> {
  const { ErrorBodySchema } = await import('../protocol/wire-error.js')
  const { error } = ErrorBodySchema.parse(body)
  return new SwiftdError(error.code, error.message)
}
