import { createExclusive, type Exclusive } from '../exclusive.js'
import { ortApi } from './api.js'
import { own, outPointer, type NativeHandle } from './native.js'
import type { ProviderName } from './provider.js'

export interface EnvironmentOptions {
  /** Threads of the one pool that all sessions of this process share. With 1, a run stays on its calling thread. */
  readonly threads: number
  /**
   * Whether idle pool threads spin for work. Spinning saves microseconds per operator but burns the core: off where
   * several devices share cores.
   */
  readonly spin?: boolean
  /** What all sessions of this process compute with. @default cpu */
  readonly provider?: ProviderName
}

/** The runtime's process-wide state: logging and the shared thread pool. */
export interface Environment extends NativeHandle {
  readonly threads: number
  /** Runs of one device take turns: several at once would only share its threads. */
  readonly exclusive: Exclusive
}

// Failures come back as statuses, with the same message; the runtime need not print them too.
const LOG_FATAL_ONLY = 4

/** Opens the runtime's environment. The runtime keeps one per process: open it once, release it last. */
export function openEnvironment({ threads, spin = true }: EnvironmentOptions): Environment {
  const api = ortApi()
  const options = outPointer((out) => api.CreateThreadingOptions(out))
  try {
    api.SetGlobalIntraOpNumThreads(options, threads)
    api.SetGlobalInterOpNumThreads(options, 1)
    api.SetGlobalSpinControl(options, spin ? 1 : 0)
    const pointer = outPointer((out) => api.CreateEnvWithGlobalThreadPools(LOG_FATAL_ONLY, 'swiftd', options, out))
    const handle = own('environment', pointer, (env) => api.ReleaseEnv(env))
    return {
      threads,
      exclusive: createExclusive(),
      get pointer() {
        return handle.pointer
      },
      release: () => handle.release(),
    }
  } finally {
    api.ReleaseThreadingOptions(options)
  }
}
