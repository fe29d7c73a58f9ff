import { createCache, slotsOf, type Cache, type CacheLimit } from './cache.js'
import type { Device } from './device.js'
import type { StageTimes } from './model.js'
import type { Signal } from './process.js'

/** A device that runs ControlNets, with what is resident on it. */
export interface ControlDevice {
  readonly device: Device
  readonly times: StageTimes
  readonly cache: Cache
  /** It keeps only what is in use. */
  readonly keepsNothing: boolean
  /** When each ControlNet that it has, or is about to have, was loaded last. */
  readonly loads: Map<string, Signal>
}

/** A ControlNet of a job on the device that runs it. */
export interface PlacedControl {
  readonly host: ControlDevice
  /** What it takes: the job's times, or the device's. */
  readonly times: StageTimes
  /** Fires when it is resident. */
  readonly loaded: Signal
}

export function createControlDevice(device: Device, times: StageTimes, limit: CacheLimit): ControlDevice {
  return { device, times, cache: createCache(limit), keepsNothing: slotsOf(limit) === 0, loads: new Map() }
}

/**
 * Makes a ControlNet resident; the device's runs of it, asked for later, wait in line behind the loading.
 * @param times of the job
 */
export function loadControl(host: ControlDevice, controlNet: number, times = host.times): PlacedControl {
  const key = String(controlNet)
  const earlier = host.cache.acquire(key) ? host.loads.get(key) : undefined
  const loaded = earlier ?? host.device.load(times.controlNetLoadMs)
  host.loads.set(key, loaded)
  return { host, times, loaded }
}

/** Hands the ControlNets of jobs to devices. */
export interface ControlService {
  place(controlNet: number, times?: StageTimes): PlacedControl
  release(controlNet: number, placed: PlacedControl): void
}

/** A ControlNet goes to the device with the fewest of running jobs; among those to one that has it resident. */
export function createControlService(hosts: readonly ControlDevice[]): ControlService {
  const running = new Map(hosts.map((host) => [host, 0]))
  const count = (host: ControlDevice, change: number): void => {
    running.set(host, (running.get(host) ?? 0) + change)
  }
  return {
    place(controlNet, times) {
      const least = Math.min(...running.values())
      const free = hosts.filter((host) => running.get(host) === least)
      const host = free.find(({ cache }) => cache.has(String(controlNet))) ?? free[0]
      count(host, 1)
      return loadControl(host, controlNet, times)
    },
    release(controlNet, { host }) {
      count(host, -1)
      host.cache.release(String(controlNet))
    },
  }
}
