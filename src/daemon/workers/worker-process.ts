import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { SwiftdError } from '../../engine/errors.js'
import { pinnedEnvironment } from '../gpus/pinning.js'
import type { Logger } from '../logger.js'
import type { DeviceStatus } from '../protocol/status.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import { createChannel, type Channel } from './channel.js'
import type { DeviceSpec } from './devices.js'
import { FromWorkerSchema, WORKER_PROTOCOL_VERSION, type FromWorker, type ToWorker } from './messages.js'
import type { Peer } from './passes/messages.js'
import type { TensorArena } from './tensor-arena.js'

/** What every worker of a daemon is started with. */
export interface WorkerContext {
  readonly arena: Pick<TensorArena, 'fd' | 'size'>
  /** Takes the workers' own output. */
  readonly logFd: number
  readonly logger: Logger
  /** Where the engine keeps what it can make again. */
  readonly cacheDirectory: string
  /** Where the workers' own sockets lie; only the user may enter it. */
  readonly runtimeDirectory: string
  /** The program of the worker; only tests give another. */
  readonly entry?: URL
}

/** A running worker that said hello. */
export interface WorkerProcess extends Pick<Channel, 'request'> {
  readonly pid: number
  /** What its device computes in. */
  readonly precision?: DeviceStatus['precision']
  /** Where other workers reach it. */
  readonly peer: Peer
  /** False as soon as it is known to be gone or was told to go. */
  readonly alive: boolean
  /** Settles when the process is gone, with the reason as the end of a sentence: "it was killed by SIGKILL". */
  readonly exited: Promise<string>
  /** Asks the worker to exit, and kills it if it does not within `killAfterMs`. */
  stop(killAfterMs?: number): Promise<void>
}

type Hello = Extract<FromWorker, { type: 'hello' }>

/** Starting Node and loading the runtime takes a fraction of this, also on a busy machine. */
const HELLO_DEADLINE_MS = 60_000

/**
 * Starts the worker of a device and waits for its hello.
 * @throws SwiftdError WORKER_LOST with the reason if it does not get that far
 */
export async function startWorkerProcess(device: DeviceSpec, context: WorkerContext): Promise<WorkerProcess> {
  const { arena, logFd, cacheDirectory, runtimeDirectory, entry = defaultEntry() } = context
  const peer = { device: device.name, socket: join(runtimeDirectory, `worker-${device.name.replace(':', '-')}.sock`) }
  const child = execa(
    process.execPath,
    [
      ...loaderArguments(entry),
      fileURLToPath(entry),
      device.name,
      String(device.threads),
      String(arena.size),
      cacheDirectory,
      peer.socket,
      device.provider,
      device.card?.address ?? '',
      device.precision ?? '',
    ],
    {
      // Handed on as they are, so that nothing is buffered or copied here: output to the log, the arena, then IPC.
      // (execa's types know descriptors only as literal numbers.) The arena's place in this list is ARENA_FD.
      stdio: ['ignore', logFd as 1, logFd as 1, arena.fd as 3],
      ipc: true,
      serialization: 'json',
      reject: false,
      buffer: false,
      env: { SWIFTD_DEVICE: device.name, ...pinnedEnvironment(device, process.env) },
    },
  )
  const logger = context.logger.child({ device: device.name, worker: child.pid })
  const kill = (): boolean => child.kill('SIGKILL')
  let endedBecause: string | undefined
  const channel = createChannel({
    // A child that is going down has no channel; its exit settles the request.
    send: (message: ToWorker) => void (child.connected && child.send(message, () => undefined)),
    onDeadline(method, deadlineMs) {
      endedBecause ??= `it did not answer ${method} within ${deadlineMs / 1000} s`
      kill()
    },
  })

  const exited = child.then((result) => {
    endedBecause ??= result.signal ? `it was killed by ${result.signal}` : `it exited with code ${result.exitCode}`
    channel.close(endedBecause)
    return endedBecause
  })

  const hello = new Promise<Hello>((resolve) => {
    child.on('message', (value: unknown) => {
      const message = FromWorkerSchema.safeParse(value)
      if (!message.success) logger.error({ value }, 'the worker sent a message that is not part of the protocol')
      else if (message.data.type === 'hello') resolve(message.data)
      else if (message.data.type === 'failed') endedBecause ??= message.data.reason
      else if (message.data.type === 'evicted') logger.info({ evicted: message.data.evicted }, 'released from memory')
      else channel.receive(message.data)
    })
  })
  const { precision } = await waitForHello(hello, exited, kill)
  logger.info('worker ready')
  return {
    pid: child.pid ?? 0,
    ...(precision && { precision }),
    peer,
    get alive() {
      return endedBecause === undefined
    },
    request: channel.request,
    exited,
    async stop(killAfterMs = 3000) {
      if (child.connected) child.send({ type: 'shutdown' } satisfies ToWorker, () => undefined)
      const timer = setTimeout(kill, killAfterMs)
      await exited
      clearTimeout(timer)
    },
  }
}

async function waitForHello(hello: Promise<Hello>, exited: Promise<string>, kill: () => void): Promise<Hello> {
  const timer = setTimeout(kill, HELLO_DEADLINE_MS)
  const first = await Promise.race([hello, exited])
  clearTimeout(timer)
  if (typeof first === 'string') throw new SwiftdError('WORKER_LOST', `The worker did not get ready: ${first}.`)
  if (first.protocolVersion === WORKER_PROTOCOL_VERSION && first.version === SWIFTD_VERSION) return first
  kill()
  throw new SwiftdError(
    'WORKER_LOST',
    `The worker is of version ${first.version}, the daemon of ${SWIFTD_VERSION}; restart the daemon with "swiftd daemon stop".`,
  )
}

/** The worker beside this file: compiled in dist/, as TypeScript when the daemon runs from src/. */
function defaultEntry(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker-main.ts' : './worker-main.js', import.meta.url)
}

function loaderArguments(entry: URL): string[] {
  return entry.pathname.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : []
}
