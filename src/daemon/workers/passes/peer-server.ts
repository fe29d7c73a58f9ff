import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { toWireError } from '../../protocol/error.js'
import type { WorkerState } from '../worker-state.js'
import { openControlSession } from './control-session.js'
import { onLines, sendLine } from './json-lines.js'
import { ControlRunSchema, PassRunSchema } from './messages.js'
import { openPassSession } from './pass-session.js'
import { PeerLost } from './peer-lost.js'
import { PeerOpenSchema, type PassOpened, type PeerAnswer } from './peer-messages.js'

/** Serves the work that other workers ask of this one. */
export interface PeerServer {
  /** Pieces of work that are open. */
  readonly open: number
  /** Settles when all work whose asker is gone has stopped. */
  settle(): Promise<void>
  close(): void
}

/** A piece of work behind its border: messages are validated here. */
interface Work {
  /** What the asker is told when it is open. */
  readonly opened: unknown
  run(message: unknown): Promise<unknown>
  close(): Promise<void>
}

/**
 * Listens on a unix socket; the file of an earlier worker of this device is replaced.
 * @param leaves whether this process ends because of an error, so that it needs no answer
 */
export async function servePeers(
  state: WorkerState,
  socketPath: string,
  leaves: (error: unknown) => boolean = () => false,
): Promise<PeerServer> {
  rmSync(socketPath, { force: true })
  const connections = new Map<Socket, Promise<void>>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.set(
      socket,
      serve(state, socket, leaves).finally(() => connections.delete(socket)),
    )
  })
  await listen(server, socketPath)
  return {
    get open() {
      return connections.size
    },
    async settle() {
      const abandoned = [...connections].filter(([socket]) => socket.readableEnded || socket.destroyed)
      await Promise.all(abandoned.map(([, done]) => done))
    },
    close: () => server.close(),
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
}

/** Serves one connection until its asker ends it; settles when its work has stopped. */
async function serve(state: WorkerState, socket: Socket, leaves: (error: unknown) => boolean): Promise<void> {
  const stop = new AbortController()
  let work: Promise<Work> | undefined
  const answer = (message: PeerAnswer): void => {
    if (socket.writable) sendLine(socket, message)
  }
  const handle = async (message: unknown): Promise<unknown> => {
    if (work) return (await work).run(message)
    work = openWork(state, message, stop.signal)
    return (await work).opened
  }
  onLines(socket, (message) => {
    handle(message).then(
      (done) => answer({ done }),
      (error: unknown) => {
        if (leaves(error)) return
        answer({ error: toWireError(error), ...(error instanceof PeerLost && { lostDevice: error.device }) })
      },
    )
  })
  await new Promise<void>((resolve) => {
    socket.on('error', () => undefined)
    socket.on('end', resolve)
    socket.on('close', () => resolve())
  })
  stop.abort()
  await work?.then(
    (opened) => opened.close(),
    () => undefined,
  )
  socket.end()
}

async function openWork(state: WorkerState, message: unknown, signal: AbortSignal): Promise<Work> {
  const open = PeerOpenSchema.parse(message)
  switch (open.kind) {
    case 'control': {
      const session = await openControlSession(state, open, signal)
      return { opened: {}, run: (run) => session.run(ControlRunSchema.parse(run)), close: () => session.close() }
    }
    case 'pass': {
      const session = await openPassSession(state, open, signal)
      const opened: PassOpened = { adaptersReady: session.adaptersReady() }
      return { opened, run: (run) => session.run(PassRunSchema.parse(run)), close: () => session.close() }
    }
  }
}
