import { openModelHost } from '../../engine/networks/model-host.js'
import { toWireError } from '../protocol/error.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import { createHandlers, type Handlers, type RequestContext } from './handlers.js'
import {
  ARENA_FD,
  PARAMETERS,
  ToWorkerSchema,
  WORKER_PROTOCOL_VERSION,
  type DenoiseProgress,
  type FromWorker,
  type ToWorker,
} from './messages.js'
import { PeerLost } from './passes/peer-lost.js'
import { servePeers } from './passes/peer-server.js'
import { openArena } from './tensor-arena.js'
import { workerBudgets, workerMemoryLimit, workerPeerDeadlineMs } from './worker-settings.js'
import { createWorkerState } from './worker-state.js'

/**
 * The program of a worker process: it owns the runtime and one device, answers the daemon and other workers, and knows
 * nothing of jobs. Arguments: the device's name, its threads, the arena's size, the engine's cache directory, and the socket
 * on which other workers reach it.
 */
const [deviceName, threads, arenaBytes, cacheDirectory, socketPath] = process.argv.slice(2)

process.title = `swiftd worker ${deviceName}`
// The whole process group hears a terminal's Ctrl-C; the daemon decides what becomes of its workers.
process.on('SIGINT', () => undefined)
// Without a daemon nobody wants the result of a run in flight, and no orderly exit should wait for it.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

try {
  const arena = openArena(ARENA_FD, Number(arenaBytes))
  const memoryBytes = workerMemoryLimit()
  const host = openModelHost({
    threads: Number(threads),
    cacheDirectory,
    device: deviceName,
    memoryBytes,
    budgets: workerBudgets(memoryBytes),
    onEvicted: (evicted) => send({ type: 'evicted', evicted }),
  })
  const state = createWorkerState(deviceName, host, arena, workerPeerDeadlineMs())
  const peers = await servePeers(state, socketPath)
  serve(createHandlers(state, arena, peers))
  send({ type: 'hello', protocolVersion: WORKER_PROTOCOL_VERSION, version: SWIFTD_VERSION, pid: process.pid })
} catch (error) {
  send({ type: 'failed', reason: toWireError(error).message }, () => process.exit(1))
}

function serve(handlers: Handlers): void {
  const running = new Map<number, AbortController>()
  process.on('message', (value: unknown) => {
    const message = ToWorkerSchema.parse(value)
    switch (message.type) {
      case 'shutdown':
        return process.exit(0)
      case 'cancel':
        return running.get(message.id)?.abort()
      case 'request':
        return void answer(message)
    }
  })

  async function answer({ id, method, parameters }: Extract<ToWorker, { type: 'request' }>): Promise<void> {
    const controller = new AbortController()
    running.set(id, controller)
    try {
      const handle = handlers[method] as (parameters: unknown, context: RequestContext) => Promise<unknown>
      const progress = (steps: DenoiseProgress[]): void => send({ type: 'progress', id, steps })
      const result = await handle(PARAMETERS[method].parse(parameters), { signal: controller.signal, progress })
      send({ type: 'result', id, result })
    } catch (error) {
      const lost = error instanceof PeerLost && { lostDevice: error.device }
      send({ type: 'error', id, error: toWireError(error), ...lost })
    } finally {
      running.delete(id)
    }
  }
}

/** Errors go to `sent`, too: where the channel is closing there is nobody to tell. */
function send(message: FromWorker, sent: () => void = () => undefined): void {
  process.send?.(message, undefined, undefined, sent)
}
