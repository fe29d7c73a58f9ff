import { createSignal, type Clock, type Signal } from './process.js'

/** One device: does one thing at a time, in the order in which they were asked for. */
export interface Device {
  readonly name: string
  /** How long it has computed so far. */
  readonly busyMs: number
  /** Fires when the device has worked on it for this long. */
  compute(ms: number): Signal
}

export function createDevice(name: string, clock: Clock): Device {
  let freeAt = 0
  let busyMs = 0
  return {
    name,
    get busyMs() {
      return busyMs
    },
    compute(ms) {
      if (ms === 0 && freeAt <= clock.now) return fired()
      freeAt = Math.max(freeAt, clock.now) + ms
      busyMs += ms
      return clock.sleep(freeAt - clock.now)
    },
  }
}

function fired(): Signal {
  const signal = createSignal()
  signal.fire()
  return signal
}
