import { createEventHeap } from './event-heap.js'

/** Something that happens once. */
export interface Signal {
  readonly hasFired: boolean
  fire(): void
  /** Calls back when it fires, at once if it has. */
  onFire(callback: () => void): void
}

/** What happens one after the other: each yield waits for a signal. */
export type Process = Generator<Signal, void, void>

/** Simulated time, in milliseconds. */
export interface Clock {
  readonly now: number
  sleep(ms: number): Signal
  /** Starts a process now; the signal fires at its end. */
  start(process: Process): Signal
  /** Runs until nothing is left to happen. */
  run(): void
}

export function createClock(): Clock {
  const events = createEventHeap<Signal>()
  let now = 0
  return {
    get now() {
      return now
    },
    sleep(ms) {
      const signal = createSignal()
      events.push(now + ms, signal)
      return signal
    },
    start(process) {
      const end = createSignal()
      advance(process, end)
      return end
    },
    run() {
      for (let event = events.pop(); event; event = events.pop()) {
        now = event.time
        event.value.fire()
      }
    },
  }
}

export function createSignal(): Signal {
  const callbacks: (() => void)[] = []
  let hasFired = false
  return {
    get hasFired() {
      return hasFired
    },
    fire() {
      if (hasFired) return
      hasFired = true
      for (const callback of callbacks.splice(0)) callback()
    },
    onFire(callback) {
      if (hasFired) callback()
      else callbacks.push(callback)
    },
  }
}

/** Fires when all have fired. */
export function allOf(signals: readonly Signal[]): Signal {
  const all = createSignal()
  let missing = signals.length
  if (missing === 0) all.fire()
  for (const signal of signals) {
    signal.onFire(() => {
      if (--missing === 0) all.fire()
    })
  }
  return all
}

/** Goes on until the process waits for something that has not happened; a loop, since a long chain would fill the stack. */
function advance(process: Process, end: Signal): void {
  for (;;) {
    const { done, value } = process.next()
    if (done) {
      end.fire()
      return
    }
    if (!value.hasFired) {
      value.onFire(() => advance(process, end))
      return
    }
  }
}
