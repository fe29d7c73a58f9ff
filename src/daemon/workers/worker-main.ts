import { SwiftdError } from '../../engine/errors.js'
import type { Precision } from '../../engine/graph/target.js'
import { proveDevice } from '../../engine/networks/device-proof.js'
import { openModelHost } from '../../engine/networks/model-host.js'
import type { ProviderName } from '../../engine/provider-name.js'
import { freeBytesOf } from '../gpus/machine.js'
import { describeFailure, explainDeviceFailure, isDeviceLost } from '../gpus/reasons.js'
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
 * nothing of jobs. Arguments: the device's name, its threads, the arena's size, the engine's cache directory, the socket on
 * which other workers reach it, its provider, its card's PCI address, or nothing, and the precision that it was told, or nothing.
 * Its environment shows it only its own device.
 */
const [deviceName, threads, arenaBytes, cacheDirectory, socketPath, providerName, address, told] = process.argv.slice(2)
const provider = providerName as ProviderName
const wanted = told === '' ? undefined : (told as Precision)

process.title = `swiftd worker ${deviceName}`
// The whole process group hears a terminal's Ctrl-C; the daemon decides what becomes of its workers.
process.on('SIGINT', () => undefined)
// Without a daemon nobody wants the result of a run in flight, and no orderly exit should wait for it.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

try {
  const arena = openArena(ARENA_FD, Number(arenaBytes))
  const memoryBytes = workerMemoryLimit(process.env, address === '' ? undefined : await freeBytesOf(address))
  const host = openModelHost({
    threads: Number(threads),
    provider,
    ...(wanted && { precision: wanted }),
    cacheDirectory,
    device: deviceName,
    memoryBytes,
    budgets: workerBudgets(memoryBytes),
    onEvicted: (evicted) => send({ type: 'evicted', evicted }),
  })
  // A GPU that cannot be opened is told of here, not by the first job.
  if (provider !== 'cpu') await proveDevice(host.graphs.environment)
  const { precision } = await host.graphs.target()
  if (wanted && precision !== wanted) throw noHalfPrecision()
  const state = createWorkerState(deviceName, host, arena, workerPeerDeadlineMs())
  const peers = await servePeers(state, socketPath, leaveIfLost)
  serve(createHandlers(state, arena, peers))
  const { pid } = process
  send({ type: 'hello', protocolVersion: WORKER_PROTOCOL_VERSION, version: SWIFTD_VERSION, pid, precision })
} catch (error) {
  send({ type: 'failed', reason: startFailure(error) }, () => process.exit(1))
}

/** As the drivers' own reasons it is the end of a sentence that names the device. */
function noHalfPrecision(): SwiftdError {
  const remedy = 'set precision to auto or float32'
  return new SwiftdError('DEVICE_UNAVAILABLE', `it does not compute in half precision; ${remedy}.`)
}

/** Without the full stop: it is the end of the daemon's sentence. */
function startFailure(error: unknown): string {
  const { message } = toWireError(error)
  return (provider === 'cpu' ? message : describeFailure(deviceName, explainDeviceFailure(provider, message))).replace(
    /\.$/,
    '',
  )
}

/**
 * Nothing computes on a lost GPU in this process any more: it ends, and the next worker opens the GPU anew or tells why it
 * cannot. Whoever waits is told by the end of the connection.
 */
function leaveIfLost(error: unknown): boolean {
  if (!isDeviceLost(provider, toWireError(error).message)) return false
  send({ type: 'failed', reason: 'its GPU, or the driver, went away while it computed' }, () => process.exit(1))
  return true
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
      if (leaveIfLost(error)) return
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
