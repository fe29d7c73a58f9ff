import { availableParallelism } from 'node:os'
import { SwiftdError } from '../../engine/errors.js'
import type { Precision } from '../../engine/graph/target.js'
import type { ProviderName } from '../../engine/provider-name.js'
import { PRECISION_CHOICES } from '../protocol/precision.js'

/** A device that a worker is started for. */
export interface DeviceSpec {
  /** For example `cpu:0`, `cuda:1`. */
  readonly name: string
  readonly provider: ProviderName
  /** Its number among the devices of its provider. */
  readonly index: number
  /** Threads of the host that its runs may use. */
  readonly threads: number
  /** What it was told to compute in. @default what a GPU computes well in; float32 on a CPU */
  readonly precision?: Precision
  /** The card that it is, where that was found out. */
  readonly card?: Card
}

/** A GPU as the machine knows it. */
export interface Card {
  /** As its driver names it; equal cards have equal names. */
  readonly name: string
  /** On the PCI bus, for example `0000:01:00.0`. */
  readonly address?: string
  /** PCI's numbers of its maker and its model, for example `0x10de`. */
  readonly vendorId?: string
  readonly deviceId?: string
}

const MAX_THREADS = 512

/**
 * A GPU computes the operators; the host runs what shapes them and the few that the provider leaves to it, on one thread
 * that submits the work and one that helps. More would only spin beside the other devices.
 */
export const GPU_HOST_THREADS = 2

/** One device that has all cores: what runs where nothing else is asked for and no GPU can be used. */
export function cpuDevices(): DeviceSpec[] {
  return [{ name: 'cpu:0', provider: 'cpu', index: 0, threads: availableParallelism() }]
}

/** A GPU as a device. */
export function gpuDevice(provider: Exclude<ProviderName, 'cpu'>, index: number, card?: Card): DeviceSpec {
  return { name: `${provider}:${index}`, provider, index, threads: GPU_HOST_THREADS, ...(card && { card }) }
}

/**
 * Reads devices as people write them: `cpu:0=2` is CPU device 0 with two threads; without `=2` it gets all cores. GPUs are
 * `cuda:0` and `webgpu:0`, and have no threads to choose.
 * @throws SwiftdError INVALID_REQUEST
 */
export function parseDevices(texts: readonly string[]): DeviceSpec[] {
  const devices = texts.map((text) => parseDevice(text.trim()))
  const twice = devices.find((device, index) => devices.findIndex(({ name }) => name === device.name) !== index)
  if (twice) throw new SwiftdError('INVALID_REQUEST', `The device ${twice.name} is given twice; give each device once.`)
  return devices
}

/** The devices of SWIFTD_DEVICES (`cpu:0=1,cuda:0`); undefined where nothing is set. */
export function devicesFromEnvironment(environment: NodeJS.ProcessEnv = process.env): DeviceSpec[] | undefined {
  const texts = (environment.SWIFTD_DEVICES ?? '').split(',').filter((text) => text.trim() !== '')
  return texts.length > 0 ? parseDevices(texts) : undefined
}

/**
 * Gives devices the precision of SWIFTD_PRECISION; `auto` leaves it to them. CPUs compute in float32 whatever it says, but
 * `mixed` has them read float16 files as they are.
 * @throws SwiftdError INVALID_REQUEST
 */
export function withPrecision(
  devices: readonly DeviceSpec[],
  { SWIFTD_PRECISION: given = '' }: NodeJS.ProcessEnv,
): DeviceSpec[] {
  const choice = given === '' ? 'auto' : PRECISION_CHOICES.find((each) => each === given)
  if (choice === undefined) {
    const choices = PRECISION_CHOICES.join(' or ')
    throw new SwiftdError('INVALID_REQUEST', `SWIFTD_PRECISION must be ${choices}, not "${given}".`)
  }
  if (choice === 'auto') return [...devices]
  return devices.map((device) => (choice === 'mixed' || isGpu(device.name) ? { ...device, precision: choice } : device))
}

/** As `parseDevices` reads it. */
export function formatDevice({ name, threads }: Pick<DeviceSpec, 'name' | 'threads'>): string {
  return isGpu(name) ? name : `${name}=${threads}`
}

/** Whether a device's name is that of a GPU. */
export function isGpu(name: string): boolean {
  return !name.startsWith('cpu:')
}

function parseDevice(text: string): DeviceSpec {
  const match = /^(cpu|cuda|webgpu):(0|[1-9]\d?)(?:=(\d{1,4}))?$/.exec(text)
  if (!match) throw notADevice(text)
  const [, provider, number, given] = match as [string, ProviderName, string, string?, ...string[]] & RegExpExecArray
  const index = Number(number)
  if (provider !== 'cpu') {
    if (given === undefined) return gpuDevice(provider, index)
    const name = `${provider}:${index}`
    throw new SwiftdError(
      'INVALID_REQUEST',
      `"${text}" is not a device; a GPU has no threads to choose, write ${name}.`,
    )
  }
  const threads = given === undefined ? availableParallelism() : Number(given)
  if (threads < 1 || threads > MAX_THREADS) throw notADevice(text)
  return { name: `cpu:${index}`, provider, index, threads }
}

function notADevice(text: string): SwiftdError {
  const examples = `cpu:0=2 for CPU device 0 with 2 threads (1 to ${MAX_THREADS}), cuda:0 for an NVIDIA GPU, or webgpu:0 for a GPU with a Vulkan or Metal driver`
  return new SwiftdError('INVALID_REQUEST', `"${text}" is not a device; write for example ${examples}.`)
}
