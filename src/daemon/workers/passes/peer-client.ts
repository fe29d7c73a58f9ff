import { connect, type Socket } from 'node:net'
import type { z } from 'zod'
import { SwiftdError } from '../../../engine/errors.js'
import { createDeferred, type Deferred } from '../../deferred.js'
import type { WorkerState } from '../worker-state.js'
import { onLines, sendLine } from './json-lines.js'
import { PeerAnswerSchema, type PeerAnswer, type PeerOpen } from './peer-messages.js'
import type { Peer } from './messages.js'
import { PeerLost } from './peer-lost.js'
import type { Session } from './session.js'

/**
 * Work on another worker, over a connection of its own: its end is the end of the work, also where a process dies. One
 * step is asked for at a time.
 * @throws PeerLost if the other worker is gone or does not answer in time; else its own error
 */
export async function connectPeer<Run, Done>(
  { peerDeadlineMs }: Pick<WorkerState, 'peerDeadlineMs'>,
  peer: Peer,
  open: PeerOpen,
  doneSchema: z.ZodType<Done>,
  signal: AbortSignal,
): Promise<Session<Run, Done> & { readonly opened: unknown }> {
  // A pass may itself wait for a ControlNet of a third worker, and must be the one to say so.
  const deadlineMs = open.kind === 'pass' ? 2 * peerDeadlineMs : peerDeadlineMs
  const socket = connect({ path: peer.socket, allowHalfOpen: true })
  const closed = createDeferred<undefined>()
  let pending: Deferred<unknown> | undefined
  let lost: PeerLost | undefined
  const fail = (reason: string): void => {
    lost ??= new PeerLost(peer.device, `The worker of ${peer.device} ${reason}.`)
    pending?.reject(lost)
  }
  socket.on('error', () => undefined)
  socket.on('end', () => fail('ended the connection'))
  socket.on('close', () => {
    fail('is gone')
    closed.resolve(undefined)
  })
  onLines(socket, (message) => {
    const answer = PeerAnswerSchema.parse(message)
    if ('error' in answer) pending?.reject(readError(answer))
    else pending?.resolve(answer.done)
  })

  async function ask(message: unknown, what: string): Promise<unknown> {
    if (lost) throw lost
    if (signal.aborted) throw new SwiftdError('CANCELLED', 'The run was cancelled.')
    const answer = createDeferred<unknown>()
    pending = answer
    const timer = setTimeout(() => {
      fail(`did not answer ${what} within ${deadlineMs / 1000} s`)
      socket.destroy()
    }, deadlineMs)
    try {
      sendLine(socket, message)
      return await answer.promise
    } finally {
      clearTimeout(timer)
    }
  }

  const endsEarly = (): void => void socket.end()
  signal.addEventListener('abort', endsEarly, { once: true })
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', endsEarly)
    await endConnection(socket, closed.promise, deadlineMs)
  }
  let opened: unknown
  try {
    opened = await ask(open, `the opening of a ${open.kind}`)
  } catch (error) {
    await close()
    throw error
  }
  return { opened, close, run: async (run) => doneSchema.parse(await ask(run, `a ${open.kind} step`)) }
}

function readError({ error, lostDevice }: Extract<PeerAnswer, { error: unknown }>): SwiftdError {
  return lostDevice === undefined ? new SwiftdError(error.code, error.message) : new PeerLost(lostDevice, error.message)
}

/** Says that no more steps come, and waits until the other side has stopped. */
async function endConnection(socket: Socket, closed: Promise<undefined>, deadlineMs: number): Promise<void> {
  const timer = setTimeout(() => socket.destroy(), deadlineMs)
  socket.end()
  await closed
  clearTimeout(timer)
}
