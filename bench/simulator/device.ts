import type { Clock, Signal } from './process.js'

/** One device: does one thing at a time, in the order in which they were asked for. */
export interface Device {
  readonly name: string
  /** How long it has computed so far. */
  readonly busyMs: number
  /** How long it could not compute because something was loaded onto it. */
  readonly loadingMs: number
  /** It works on something at the moment. */
  readonly isBusy: boolean
  /** Fires when the device has worked on it for this long. */
  compute(ms: number): Signal
  load(ms: number): Signal
}

/** @param slowdown how much longer than alone something takes that begins now */
export function createDevice(name: string, clock: Clock, slowdown: () => number = () => 1): Device {
  let freeAt = 0
  let busyMs = 0
  let loadingMs = 0
  const occupy = (ms: number): Signal => {
    freeAt = Math.max(freeAt, clock.now) + ms
    return clock.sleep(freeAt - clock.now)
  }
  return {
    name,
    get busyMs() {
      return busyMs
    },
    get loadingMs() {
      return loadingMs
    },
    get isBusy() {
      return clock.now < freeAt
    },
    compute(ms) {
      const takenMs = ms * slowdown()
      busyMs += takenMs
      return occupy(takenMs)
    },
    load(ms) {
      const takenMs = ms * slowdown()
      loadingMs += takenMs
      return occupy(takenMs)
    },
  }
}
