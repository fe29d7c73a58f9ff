import { createExclusive, type Exclusive } from '../exclusive.js'
import type { GraphTarget, Precision } from '../graph/target.js'
import { ortApi } from './api.js'
import { own, outPointer, type NativeHandle } from './native.js'
import { PROVIDERS, type Provider, type ProviderName } from './provider.js'

export interface EnvironmentOptions {
  /** Threads of the one pool that all sessions of this process share. With 1, a run stays on its calling thread. */
  readonly threads: number
  /**
   * Whether idle pool threads spin for work. Spinning saves microseconds per operator but burns the core: off where
   * several devices share cores.
   */
  readonly spin?: boolean
  /** What all sessions of this process compute with; tests give one of their own. @default cpu */
  readonly provider?: ProviderName | Provider
  /** @default the provider's, or one that is nearer to float32 where the device computes wrong or badly in that */
  readonly precision?: Precision
}

/** The runtime's process-wide state: logging, the shared thread pool, and the one device of this process. */
export interface Environment extends NativeHandle {
  readonly threads: number
  readonly provider: Provider
  /** What graphs should be built for, where the device can compute in that precision. */
  readonly target: GraphTarget
  /** Whether its precision was asked for. */
  readonly hasGivenPrecision: boolean
  /** Runs of one device take turns: several at once would only share its threads. */
  readonly exclusive: Exclusive
  /** What was copied between the host's memory and the device's own so far; nothing where they are the same. */
  readonly traffic: Traffic
  /** Frees something of the device, when nobody uses the device where it cannot be used by several at once. */
  free(release: () => void): void
  /** Settles when everything that was to be freed is. */
  settle(): Promise<void>
}

/** Bytes that crossed between the host and a device with memory of its own. */
export interface Traffic {
  toDevice: number
  toHost: number
}

// Failures come back as statuses, with the same message; the runtime need not print them too.
const LOG_FATAL_ONLY = 4

/** Opens the runtime's environment. The runtime keeps one per process: open it once, release it last. */
export function openEnvironment({ threads, spin = true, ...device }: EnvironmentOptions): Environment {
  const api = ortApi()
  const { provider: named = 'cpu' } = device
  const provider = typeof named === 'string' ? PROVIDERS[named] : named
  const exclusive = createExclusive()
  const options = outPointer((out) => api.CreateThreadingOptions(out))
  try {
    api.SetGlobalIntraOpNumThreads(options, threads)
    api.SetGlobalInterOpNumThreads(options, 1)
    api.SetGlobalSpinControl(options, spin ? 1 : 0)
    const pointer = outPointer((out) => api.CreateEnvWithGlobalThreadPools(LOG_FATAL_ONLY, 'swiftd', options, out))
    const handle = own('environment', pointer, (env) => api.ReleaseEnv(env))
    return {
      threads,
      provider,
      target: { ...provider.target, ...(device.precision && { precision: device.precision }) },
      hasGivenPrecision: device.precision !== undefined,
      exclusive,
      traffic: { toDevice: 0, toHost: 0 },
      free(release) {
        if (provider.concurrent) release()
        else void exclusive(() => Promise.resolve(release()))
      },
      settle: () => exclusive(() => Promise.resolve()),
      get pointer() {
        return handle.pointer
      },
      release: () => handle.release(),
    }
  } finally {
    api.ReleaseThreadingOptions(options)
  }
}
