import { createSignal, type Clock, type Signal } from './process.js'

/** One device: does one thing at a time, in the order in which they were asked for. */
export interface Device {
  readonly name: string
  /** How long it has computed so far. */
  readonly busyMs: number
  /** How long it could not compute because something was loaded onto it. */
  readonly loadingMs: number
  /** Fires when the device has worked on it; alone it takes this long. */
  compute(ms: number): Signal
  load(ms: number): Signal
}

/** What the devices of a machine share. */
export interface Sharing {
  /** How many of them can work at once; if more do, all take turns. @default any number */
  readonly cores?: number
  /** How much longer one takes while another one works; as much is added for each further one that can. @default 1 */
  readonly contention?: number
}

interface Work {
  readonly kind: 'compute' | 'load'
  readonly done: Signal
  /** What is left of it, in milliseconds on a device that works alone. */
  leftMs: number
}

interface Line {
  readonly spent: Record<Work['kind'], number>
  readonly waiting: Work[]
}

/**
 * Makes devices that slow each other down: each goes at a pace that depends on how many work at the moment, so what one has
 * begun alone takes longer from the moment on at which another one begins.
 */
export function createDevices(clock: Clock, sharing: Sharing = {}): (name: string) => Device {
  const { cores = Infinity, contention = 1 } = sharing
  const isShared = cores < Infinity || contention !== 1
  const machine = createMachine(clock, { cores, contention })
  // What has nothing in common with others is a machine of its own, whose changes are none of theirs.
  return (name) => (isShared ? machine : createMachine(clock, { cores, contention }))(name)
}

function createMachine(clock: Clock, { cores, contention }: Required<Sharing>): (name: string) => Device {
  /** Those that work. */
  const busy = new Set<Line>()
  let since = clock.now
  let changes = 0

  /** How long a millisecond of work takes. */
  function slowdown(): number {
    const running = Math.min(busy.size, cores)
    return (1 + (contention - 1) * (running - 1)) * (busy.size / running)
  }

  /** Counts what was done since the last change. */
  function advance(): void {
    const elapsed = clock.now - since
    since = clock.now
    for (const { spent, waiting } of busy) {
      spent[waiting[0].kind] += elapsed
      waiting[0].leftMs -= elapsed / slowdown()
    }
  }

  /** Sets the clock for the next end. */
  function plan(): void {
    const change = ++changes
    if (busy.size === 0) return
    const least = Math.min(...[...busy].map(({ waiting }) => waiting[0].leftMs))
    clock.sleep(Math.max(0, least * slowdown())).onFire(() => {
      // Whatever changed meanwhile has set the clock anew.
      if (change === changes) endWork()
    })
  }

  function endWork(): void {
    advance()
    const ended: Work[] = []
    for (const line of busy) {
      if (line.waiting[0].leftMs > NOTHING_MS) continue
      ended.push(...line.waiting.splice(0, 1))
      if (line.waiting.length === 0) busy.delete(line)
    }
    plan()
    for (const { done } of ended) done.fire()
  }

  return (name) => {
    const line: Line = { spent: { compute: 0, load: 0 }, waiting: [] }
    const ask = (kind: Work['kind'], leftMs: number): Signal => {
      const done = createSignal()
      if (leftMs <= 0 && line.waiting.length === 0) {
        done.fire()
        return done
      }
      advance()
      line.waiting.push({ kind, done, leftMs })
      busy.add(line)
      plan()
      return done
    }
    return {
      name,
      get busyMs() {
        return line.spent.compute
      },
      get loadingMs() {
        return line.spent.load
      },
      compute: (ms) => ask('compute', ms),
      load: (ms) => ask('load', ms),
    }
  }
}

/** Sums of floats may leave as much of a work that is done. */
const NOTHING_MS = 1e-6
