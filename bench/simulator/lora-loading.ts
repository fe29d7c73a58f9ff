import type { Cache } from './cache.js'
import type { Device } from './device.js'
import type { LoraLoading, StageTimes } from './model.js'
import { allOf, type Clock, type Process, type Signal } from './process.js'

/** Where the LoRAs of a base device, and of its second one, come from. */
export interface LoraStore {
  /** For each of them what reads files and patches beside whatever the device does; that of the base device first. */
  readonly loaders: readonly Device[]
  readonly files: Cache
  readonly overlays: Cache
}

/** The LoRAs of one job on their way. */
export interface JobLoras {
  /** To be run before prompts are encoded: waits for what must be read first. */
  beforePrompts(): Process
  /** To be run before each step: patches if it is time to. */
  beforeStep(step: number): Process
  readonly loadingMs: number
  readonly patchingMs: number
  /** The step from which on they count. */
  readonly step: number | undefined
  release(): void
}

export interface JobLorasOptions {
  readonly clock: Clock
  readonly store: LoraStore
  readonly loras: readonly number[]
  readonly loading: LoraLoading
  readonly times: StageTimes
  /** All that hold the job's base model: each patches. */
  readonly devices: readonly Device[]
  readonly steps: number
}

/** Begins to load what is not resident. */
export function loadLoras({ clock, store, loras, loading, times, devices, steps }: JobLorasOptions): JobLoras {
  const names = loras.map(String)
  const overlay = names.toSorted().join(' ')
  const isCached = loras.length > 0 && store.overlays.acquire(overlay)
  const missing = loras.length > 0 && !isCached ? names.filter((name) => !store.files.acquire(name)) : []
  const patchMs = sum(isCached ? 0 : loras.length, () => times.loraPatchMs)
  const beside = loading.mode === 'asynchronous' && loading.patching === 'beside-steps'
  const reads = store.loaders.map((loader) => loader.load(sum(missing.length, () => times.loraLoadMs)))
  const ready = allOf(beside ? store.loaders.map((loader) => loader.load(patchMs)) : reads)
  // A bound behind the last step would leave the LoRAs out of the image.
  const bound = loading.mode === 'serial' || isCached ? 0 : Math.min(loading.bound, steps - 1)
  let loadingMs = 0
  let patchingMs = 0
  let inEffectFrom: number | undefined

  function* timed(signal: Signal, add: (ms: number) => void): Process {
    const since = clock.now
    yield signal
    add(clock.now - since)
  }

  return {
    *beforePrompts() {
      if (loading.mode === 'asynchronous' && loading.readFirst) yield* timed(reads[0], (ms) => (loadingMs += ms))
    },
    *beforeStep(step) {
      if (loras.length === 0 || inEffectFrom !== undefined || (step < bound && !ready.hasFired)) return
      yield* timed(ready, (ms) => (loadingMs += ms))
      if (patchMs > 0 && !beside) {
        yield* timed(allOf(devices.map((device) => device.compute(patchMs))), (ms) => (patchingMs += ms))
      }
      inEffectFrom = step
    },
    get loadingMs() {
      return loadingMs
    },
    get patchingMs() {
      return patchingMs
    },
    get step() {
      return inEffectFrom
    },
    release() {
      if (loras.length === 0) return
      store.overlays.release(overlay)
      if (!isCached) for (const name of names) store.files.release(name)
    },
  }
}

/** Of `count` times that are read one by one. */
function sum(count: number, time: () => number): number {
  return Array.from({ length: count }, time).reduce((total, ms) => total + ms, 0)
}
