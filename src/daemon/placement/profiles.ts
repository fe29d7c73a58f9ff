import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import writeFileAtomic from 'write-file-atomic'
import { z } from 'zod'
import type { Logger } from '../logger.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import { formatDevice, type DeviceSpec } from '../workers/devices.js'
import { kindOf } from './candidates.js'
import type { StageCosts, StageTimes } from './predict.js'
import type { Subject } from './subject.js'

/** The times of stages that were measured on this machine. They are remembered in a file of the cache directory. */
export interface Profiles {
  /**
   * The times of a subject's stages; undefined where one of them was not measured.
   * @param beside what computes the other half meanwhile
   */
  times(subject: Subject, device: DeviceSpec, beside?: DeviceSpec): StageTimes | undefined
  /** The measured times of a UNet, or of a ControlNet if `control` is its number. */
  put(subject: Subject, at: MeasuredAt, measured: MeasuredTimes, control?: number): void
  /** A message between two devices and its answer, in milliseconds; as long in either direction. */
  messageMs(one: DeviceSpec, other: DeviceSpec): number | undefined
  putMessage(one: DeviceSpec, other: DeviceSpec, ms: number): void
  /** Writes what is new. A directory that cannot be written only costs the memory. */
  save(): Promise<void>
}

/** Where something was measured. */
export interface MeasuredAt {
  readonly device: DeviceSpec
  /** What computed the other half meanwhile; undefined where the device computed the whole batch. */
  readonly beside?: DeviceSpec
}

/** As a worker measures them. */
export interface MeasuredTimes {
  readonly encoderMs: number
  readonly decoderMs: number
  readonly controlNetMs?: number
}

const ms = z.number().min(0)
const EntrySchema = z.object({
  /** Of the swiftd that measured it: another one may be faster. */
  version: z.string(),
  /** A network with its latents, on a device; or a message. */
  key: z.string(),
  times: z.union([
    z.object({ encoderMs: ms, decoderMs: ms }),
    z.object({ controlNetMs: ms }),
    z.object({ messageMs: ms }),
  ]),
})
type Entry = z.infer<typeof EntrySchema>
const FileSchema = z.object({ entries: z.array(z.unknown()) })

/** The most entries; the oldest go. */
const MAX_ENTRIES = 2048

/** Opens the profiles of a cache directory. A file that is damaged counts as empty, entries of other versions are ignored. */
export function openProfiles(cacheDirectory: string, logger: Logger): Profiles {
  const file = join(cacheDirectory, 'stage-times.json')
  const entries = new Map(readEntries(file).map((entry) => [entry.key, entry.times]))
  const remember = (key: string, times: Entry['times']): void => {
    entries.delete(key)
    entries.set(key, times)
  }
  return {
    times(subject, device, beside) {
      const at = { device, ...(beside && { beside }) }
      const unet = entries.get(keyOf(subject, at))
      if (!unet || !('encoderMs' in unet)) return undefined
      const controlNetMs: number[] = []
      for (const control of subject.controls.keys()) {
        const times = entries.get(keyOf(subject, at, control))
        if (!times || !('controlNetMs' in times)) return undefined
        controlNetMs.push(times.controlNetMs)
      }
      return { ...unet, controlNetMs }
    },
    put(subject, at, { encoderMs, decoderMs, controlNetMs }, control) {
      remember(keyOf(subject, at), { encoderMs, decoderMs })
      if (controlNetMs !== undefined) remember(keyOf(subject, at, control), { controlNetMs })
      for (const oldest of [...entries.keys()].slice(0, Math.max(0, entries.size - MAX_ENTRIES))) entries.delete(oldest)
    },
    messageMs(one, other) {
      const times = entries.get(messageKey(one, other))
      return times && 'messageMs' in times ? times.messageMs : undefined
    },
    putMessage: (one, other, messageMs) => remember(messageKey(one, other), { messageMs }),
    async save() {
      const list = [...entries].map(([key, times]): Entry => ({ version: SWIFTD_VERSION, key, times }))
      try {
        mkdirSync(dirname(file), { recursive: true })
        await writeFileAtomic(file, `${JSON.stringify({ entries: list }, undefined, 1)}\n`)
      } catch (error) {
        logger.warn({ err: error, file }, 'measured times are not remembered')
      }
    },
  }
}

/**
 * The costs of a subject's stages on some devices. What was measured of a device, or of two side by side, counts for all of
 * the same kind, the shortest time of each stage; of the whole batch it counts once the device itself was measured.
 */
export function costsOf(profiles: Profiles, subject: Subject, devices: readonly DeviceSpec[]): StageCosts {
  const named = (name: string): DeviceSpec | undefined => devices.find((each) => each.name === name)
  const equals = (device: DeviceSpec): DeviceSpec[] => devices.filter((each) => kindOf(each) === kindOf(device))
  /** What is known of two devices that are equal to these. */
  const ofPairs = <T>(
    [one, other]: readonly [string, string],
    read: (one: DeviceSpec, other: DeviceSpec) => T | undefined,
  ): T[] => {
    const [first, second] = [named(one), named(other)]
    if (!first || !second) return []
    const pairs = equals(first).flatMap((a) => equals(second).map((b) => [a, b] as const))
    return pairs.flatMap(([a, b]) => (a === b ? [] : (read(a, b) ?? [])))
  }
  return {
    whole(name) {
      const device = named(name)
      const own = device && profiles.times(subject, device)
      return own && shortest([own, ...equals(device).flatMap((each) => profiles.times(subject, each) ?? [])])
    },
    half(name, beside) {
      const [first, ...more] = ofPairs([name, beside], (one, other) => profiles.times(subject, one, other))
      return first && shortest([first, ...more])
    },
    messageMs(from, to) {
      const known = ofPairs([from, to], (one, other) => profiles.messageMs(one, other))
      return known.length > 0 ? Math.min(...known) : undefined
    },
  }
}

function shortest(times: readonly [StageTimes, ...StageTimes[]]): StageTimes {
  return {
    encoderMs: Math.min(...times.map(({ encoderMs }) => encoderMs)),
    decoderMs: Math.min(...times.map(({ decoderMs }) => decoderMs)),
    controlNetMs: times[0].controlNetMs.map((_, index) =>
      Math.min(...times.map(({ controlNetMs }) => controlNetMs[index])),
    ),
  }
}

function keyOf(subject: Subject, { device, beside }: MeasuredAt, control?: number): string {
  const network = control === undefined ? subject.modelKey : subject.controls[control].key
  const rows = subject.rows[beside ? 'half' : 'full']
  return JSON.stringify([network, nameOf(device), ...(beside ? [nameOf(beside)] : []), [rows, ...subject.latents]])
}

function messageKey(one: DeviceSpec, other: DeviceSpec): string {
  return JSON.stringify(['message', ...[one, other].map(nameOf).toSorted()])
}

/** Another card may have the number tomorrow, and the card may be told another precision. */
function nameOf(device: DeviceSpec): string {
  const name = device.card ? `${device.name} ${device.card.name}` : formatDevice(device)
  return device.precision ? `${name} ${device.precision}` : name
}

function readEntries(file: string): Entry[] {
  try {
    const { entries } = FileSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
    return entries.flatMap((value) => {
      const entry = EntrySchema.safeParse(value)
      return entry.success && entry.data.version === SWIFTD_VERSION ? [entry.data] : []
    })
  } catch {
    return []
  }
}
