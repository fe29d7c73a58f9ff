import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

/**
 * Opens the app on a unix socket that only its owner may use. The caller holds the daemon's lock: a socket that is there
 * was left by a daemon that died.
 * @param inherited the descriptor of a socket that a service manager opened at `path` and owns: it is used as it is, and stays
 */
export async function listenOnSocket(app: FastifyInstance, path: string, inherited?: number): Promise<void> {
  if (inherited !== undefined) {
    // Not by fastify's listen, which wants to know the address: a descriptor's socket has none.
    await app.ready()
    app.server.listen({ fd: inherited })
    return void (await once(app.server, 'listening'))
  }
  rmSync(path, { force: true })
  const previous = process.umask(0o177)
  try {
    await app.listen({ path })
  } finally {
    process.umask(previous)
  }
  chmodSync(path, 0o600)
}

const POLL_MS = 20

/** What is left to send when jobs have ended is a few lines; a client that does not read them by then never will. */
const FLUSH_MS = 1000

/**
 * Takes no more connections, lets the answers that are on their way finish, and removes the socket. Clients keep their
 * connections for later requests: each is closed as soon as it is idle, and in the end all that are left, since one that
 * never carried a request does not count as idle.
 */
export async function closeSocket(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), POLL_MS)
  const rest = setTimeout(() => app.server.closeAllConnections(), FLUSH_MS)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(rest)
  }
}
