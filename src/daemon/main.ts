import { performance } from 'node:perf_hooks'
import { ALREADY_RUNNING_EXIT_CODE } from './already-running.js'
import { foregroundWatcher } from './foreground-log.js'
import { createJobQueue } from './jobs/job-queue.js'
import { createJobStore } from './jobs/job-store.js'
import { runJob } from './jobs/run-job.js'
import { resolveDevices } from './gpus/resolve.js'
import { createLifecycle, type Lifecycle } from './lifecycle.js'
import { takeLock } from './lock.js'
import { openLog, rotateLog, type Logger } from './logger.js'
import { daemonPaths, ensureRuntimeDirectory } from './paths.js'
import { createPlanner } from './placement/planner.js'
import { rolesFromEnvironment } from './placement/roles.js'
import { ERRORS, toWireError } from './protocol/error.js'
import type { DaemonStatus } from './protocol/status.js'
import { PROTOCOL_VERSION, SWIFTD_VERSION } from './protocol/version.js'
import { createApp } from './server/app.js'
import { closeSocket, listenOnSocket } from './server/listen.js'
import { createNotify, takeInheritedSocket } from './systemd.js'
import { preloadAtStart } from './preload-at-start.js'
import { createResidentList, type MemoryStatus } from './residents.js'
import { superviseDevice } from './workers/device-worker.js'
import { withPrecision } from './workers/devices.js'
import { createArena } from './workers/tensor-arena.js'
import { startWorkerProcess } from './workers/worker-process.js'

/**
 * The program of the daemon: builds its parts in order and connects them. It runs in the foreground: the client starts it
 * detached, `swiftd serve` is it. Only one runs per user: a second one exits with ALREADY_RUNNING_EXIT_CODE.
 */

/** How long running jobs may go on after SIGTERM or SIGINT; a second signal ends them at once. */
const SIGNAL_GRACE_MS = 10_000

process.title = 'swiftd daemon'
// Whatever this process makes is for its user only.
process.umask(0o077)

const paths = daemonPaths()
const inherited = takeInheritedSocket()
const watcher = foregroundWatcher()
const notify = createNotify()
try {
  ensureRuntimeDirectory(paths)
  const unlock = takeLock(paths.lock)
  if (!unlock) {
    if (watcher) process.stderr.write('Another daemon is running; "swiftd daemon stop" ends it.\n')
    process.exit(ALREADY_RUNNING_EXIT_CODE)
  }
  rotateLog(paths.logFile)
  await start(unlock)
} catch (error) {
  const failure = toWireError(error)
  openLog(paths.logFile, watcher).logger.fatal({ err: error, code: failure.code }, failure.message)
  process.exit(ERRORS[failure.code].exitCode)
}

async function start(unlock: () => void): Promise<void> {
  const { logger, fd: logFd } = openLog(paths.logFile, watcher)
  const devices = withPrecision(await resolveDevices(process.env, logger), process.env)
  const roles = rolesFromEnvironment(devices)
  const arena = createArena()
  const { cacheDirectory, runtimeDirectory } = paths
  const context = { arena, logFd, logger, cacheDirectory, runtimeDirectory }
  const startWorker = (device: (typeof devices)[number]) => startWorkerProcess(device, context)
  const workers = devices.map((device) => superviseDevice(device, { start: startWorker, logger }))
  const planner = createPlanner({ devices: workers, roles, cacheDirectory, logger })
  const store = createJobStore()
  const queue = createJobQueue({
    ...{ devices: workers, store, logger },
    place: (job, availability) => planner.place(job, availability),
    run: (job, placement) => runJob(job, placement, context),
  })

  const memoryStatus = createResidentList(workers)
  const status = async (): Promise<DaemonStatus> => describe(await memoryStatus())
  const describe = ({ residents, memory }: MemoryStatus): DaemonStatus => ({
    version: SWIFTD_VERSION,
    protocolVersion: PROTOCOL_VERSION,
    pid: process.pid,
    state: lifecycle.state,
    uptimeMs: performance.now(),
    logFile: paths.logFile,
    devices: workers.map((worker) => {
      const job = queue.running.get(worker)
      const account = memory.get(worker.device.name)
      return { ...worker.status, ...(job && { state: 'busy', jobId: job.id }), ...(account && { memory: account }) }
    }),
    roles: { base: [...roles.base], controlNet: [...roles.controlNet] },
    jobs: { queued: queue.queued, queueLimit: queue.limit, running: queue.runningJobs, finished: store.finished },
    arena: { used: arena.used, size: arena.size },
    residents: [...residents],
  })
  const control = {
    status,
    shutdown(graceMs: number) {
      const answer = { pid: process.pid, running: queue.runningJobs, queued: queue.queued }
      lifecycle.shutdown(graceMs)
      return answer
    },
  }
  const app = createApp({ queue, store, planner, control, logger, preload: { devices: workers, roles } })
  const lifecycle = createLifecycle({
    logger,
    onStopping: () => notify('STOPPING=1'),
    drain: (graceMs) => queue.drain(graceMs),
    // The socket goes first, so that nobody connects to a daemon without workers; the lock goes last.
    close: [() => closeSocket(app), () => Promise.all(workers.map((worker) => worker.stop())), unlock],
  })
  handleSignals(lifecycle, logger)
  await listenOnSocket(app, paths.socket, inherited)
  notify('READY=1')
  logger.info({ version: SWIFTD_VERSION, socket: paths.socket, devices }, 'ready')
  await preloadAtStart({ devices: workers, roles }, logger)
}

function handleSignals(lifecycle: Lifecycle, logger: Logger): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => lifecycle.shutdown(lifecycle.state === 'draining' ? 0 : SIGNAL_GRACE_MS))
  }
  // The terminal that started the daemon may close.
  process.on('SIGHUP', () => undefined)
  // State is unknown after a fault that nobody caught; the next command starts a clean daemon.
  process.on('uncaughtException', (error) => {
    logger.fatal({ err: error }, 'the daemon failed unexpectedly')
    process.exit(1)
  })
}
