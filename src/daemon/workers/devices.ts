import { availableParallelism } from 'node:os'
import { SwiftdError } from '../../engine/errors.js'

/** A device that a worker is started for. */
export interface DeviceSpec {
  /** For example `cpu:0`. */
  readonly name: string
  /** Threads that its runs may use. */
  readonly threads: number
}

const MAX_THREADS = 512

/** One device that has all cores: what runs where nothing else is asked for. */
export function defaultDevices(): DeviceSpec[] {
  return [{ name: 'cpu:0', threads: availableParallelism() }]
}

/**
 * Reads devices as people write them: `cpu:0=2` is CPU device 0 with two threads; without `=2` it gets all cores.
 * @throws SwiftdError INVALID_REQUEST
 */
export function parseDevices(texts: readonly string[]): DeviceSpec[] {
  const devices = texts.map(parseDevice)
  const twice = devices.find((device, index) => devices.findIndex(({ name }) => name === device.name) !== index)
  if (twice) throw new SwiftdError('INVALID_REQUEST', `The device ${twice.name} is given twice; give each device once.`)
  return devices
}

/** The devices of SWIFTD_DEVICES (`cpu:0=1,cpu:1=1`), or the default. */
export function devicesFromEnvironment(environment: NodeJS.ProcessEnv = process.env): DeviceSpec[] {
  const texts = (environment.SWIFTD_DEVICES ?? '').split(',').filter((text) => text.trim() !== '')
  return texts.length > 0 ? parseDevices(texts) : defaultDevices()
}

/** As `parseDevices` reads it. */
export function formatDevice(device: DeviceSpec): string {
  return `${device.name}=${device.threads}`
}

function parseDevice(text: string): DeviceSpec {
  const match = /^(cpu:\d{1,2})(?:=(\d{1,4}))?$/.exec(text.trim())
  const threads = match?.[2] === undefined ? availableParallelism() : Number(match[2])
  if (!match || threads < 1 || threads > MAX_THREADS) {
    throw new SwiftdError(
      'INVALID_REQUEST',
      `"${text.trim()}" is not a device; write for example cpu:0=2 for CPU device 0 with 2 threads (1 to ${MAX_THREADS}).`,
    )
  }
  return { name: match[1], threads }
}
