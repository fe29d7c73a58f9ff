import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

/**
 * A server on the loopback interface that speaks the parts of the Hugging Face hub's API that pulling uses, as the hub
 * does: paged listings, errors with their headers, ranges, and large files behind a redirect to another origin.
 */
export interface HubServer {
  readonly url: string
  /** Every request, in order. */
  readonly requests: RecordedRequest[]
  /** What goes wrong from now on. */
  faults: Faults
  /** Changes the files of the repository and gives it a new commit. */
  commit(files: Files): string
  close(): Promise<void>
}

export interface RecordedRequest {
  /** The origin: the hub itself, or where large files lie. */
  readonly host: 'hub' | 'storage'
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

export interface Faults {
  /** Ends the connection after so many bytes of a large file's content, the given number of times. */
  readonly breakAfter?: { readonly bytes: number; times: number }
  /** Changes a byte of large files. */
  readonly corrupt?: boolean
  /** Sends whole files whatever is asked for. */
  readonly ignoreRanges?: boolean
  /** Answers every request for content with this status. */
  readonly status?: number
}

export type Files = Readonly<Record<string, Buffer>>

export interface HubServerOptions {
  readonly repository: string
  readonly files: Files
  /** Without this token the repository looks as if it were not there. */
  readonly token?: string
  /** Whether nobody has access to it. */
  readonly gated?: boolean
}

const PAGE = 6

export async function startHubServer({ repository, files, token, gated }: HubServerOptions): Promise<HubServer> {
  const requests: RecordedRequest[] = []
  let content = files
  let head = commitOf(files)
  const state: { faults: Faults } = { faults: {} }

  const hub = createServer((request, response) => {
    record('hub', request)
    const url = new URL(request.url ?? '/', origin(hub))
    const refusal = refuse(request, url)
    if (refusal) return sendError(response, ...refusal)
    const [, tree, page] = [
      ...(/\/tree\/([0-9a-f]{40})$/.exec(url.pathname) ?? []),
      url.searchParams.get('page') ?? '0',
    ]
    if (url.pathname.startsWith('/api/') && tree !== undefined) return sendListing(response, url, Number(page))
    if (url.pathname.startsWith('/api/')) {
      return sendJson(response, { _id: 'x', id: repository, sha: head, lastModified: new Date(0).toISOString() })
    }
    const path = decodeURIComponent(url.pathname.split('/').slice(5).join('/'))
    const file = content[path]
    if (!file) return sendError(response, 404, 'EntryNotFound', 'Entry not found')
    if (!isLarge(path)) return sendContent(request, response, file, {})
    response.writeHead(302, { location: `${origin(storage)}/${sha256(file)}`, 'x-linked-etag': sha256(file) }).end()
  })
  const storage = createServer((request, response) => {
    record('storage', request)
    const file = Object.values(content).find((each) => request.url === `/${sha256(each)}`)
    if (!file) return sendError(response, 404, 'EntryNotFound', 'gone')
    if (state.faults.status !== undefined) return sendError(response, state.faults.status, 'Fault', 'a fault')
    sendContent(request, response, state.faults.corrupt ? corrupted(file) : file, state.faults)
  })

  function record(host: RecordedRequest['host'], { url = '/', headers }: IncomingMessage): void {
    requests.push({ host, path: url, range: headers.range, authorization: headers.authorization })
  }

  /** As the hub does it: what one may not see is "not found", with status 401 for those without a token. */
  function refuse({ headers }: IncomingMessage, { pathname }: URL): [number, string, string] | undefined {
    const [owner, name] = pathname
      .replace(/^\/api\/models/, '')
      .split('/')
      .slice(1)
    const known = `${owner}/${name}` === repository
    if (!known || (token !== undefined && headers.authorization !== `Bearer ${token}`)) {
      return [headers.authorization === undefined ? 401 : 404, 'RepoNotFound', 'Repository not found']
    }
    if (gated) return [403, 'GatedRepo', 'Access to this repository is restricted']
    const revision = /\/(?:revision|tree|resolve)\/([^/?]+)/.exec(pathname)?.[1]
    if (revision !== 'main' && revision !== head) return [404, 'RevisionNotFound', `Invalid rev id: ${revision}`]
    return undefined
  }

  function sendListing(response: ServerResponse, url: URL, page: number): void {
    const all = Object.entries(content).map(([path, file]) => ({
      ...{ type: 'file', path, size: file.byteLength, oid: isLarge(path) ? gitId(Buffer.from(path)) : gitId(file) },
      ...(isLarge(path) && { lfs: { oid: sha256(file), size: file.byteLength, pointerSize: 130 } }),
    }))
    const next = new URL(url)
    next.searchParams.set('page', String(page + 1))
    const more = all.length > (page + 1) * PAGE
    sendJson(response, all.slice(page * PAGE, (page + 1) * PAGE), more ? { link: `<${next.href}>; rel="next"` } : {})
  }

  await Promise.all([hub, storage].map((server) => once(server.listen(0, '127.0.0.1'), 'listening')))
  return {
    url: origin(hub),
    requests,
    get faults() {
      return state.faults
    },
    set faults(faults) {
      state.faults = faults
    },
    commit(next) {
      content = next
      head = commitOf(next)
      return head
    },
    close: async () => {
      for (const server of [hub, storage]) {
        server.closeAllConnections()
        await new Promise((done) => server.close(done))
      }
    },
  }
}

/** The files of a folder by their paths in it. */
export function filesOf(folder: string): Files {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path)]))
}

function sendContent(request: IncomingMessage, response: ServerResponse, file: Buffer, faults: Faults): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
  const isProbe = from === '0' && to === '0'
  const ranged = from !== undefined && (!faults.ignoreRanges || isProbe)
  const body = ranged ? file.subarray(Number(from), Number(to) + 1) : file
  response.writeHead(ranged ? 206 : 200, {
    etag: `"${sha256(file)}"`,
    'content-length': body.byteLength,
    ...(ranged && { 'content-range': `bytes ${from}-${to}/${file.byteLength}` }),
  })
  const { breakAfter } = faults
  if (isProbe || !breakAfter || breakAfter.times === 0) return void response.end(body)
  breakAfter.times--
  response.write(body.subarray(0, breakAfter.bytes), () => request.socket.end())
}

function sendJson(response: ServerResponse, json: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(json))
}

function sendError(response: ServerResponse, status: number, code: string, error: string): void {
  const headers = { 'content-type': 'application/json', 'x-error-code': code }
  response.writeHead(status, headers).end(JSON.stringify({ error }))
}

function origin(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function isLarge(path: string): boolean {
  return /\.(safetensors|bin|ckpt)$/.test(path)
}

function corrupted(file: Buffer): Buffer {
  const copy = Buffer.from(file)
  copy[copy.byteLength - 1] ^= 1
  return copy
}

function commitOf(files: Files): string {
  const hash = createHash('sha1')
  for (const [path, file] of Object.entries(files)) hash.update(path).update(file)
  return hash.digest('hex')
}

function gitId(file: Buffer): string {
  return createHash('sha1').update(`blob ${file.byteLength}\0`).update(file).digest('hex')
}

function sha256(file: Buffer): string {
  return createHash('sha256').update(file).digest('hex')
}
