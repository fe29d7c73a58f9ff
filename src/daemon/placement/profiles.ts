import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import writeFileAtomic from 'write-file-atomic'
import { z } from 'zod'
import type { Logger } from '../logger.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import type { DeviceSpec } from '../workers/devices.js'
import { kindOf } from './candidates.js'
import type { Share, StageCosts, StageTimes } from './predict.js'
import type { Subject } from './subject.js'

/** The times of stages that were measured on this machine. They are remembered in a file of the cache directory. */
export interface Profiles {
  /** The times of a subject's stages; undefined where one of them was not measured. */
  times(subject: Subject, device: DeviceSpec, share: Share): StageTimes | undefined
  /** The measured times of a UNet, or of a ControlNet if `control` is its number. */
  put(subject: Subject, device: DeviceSpec, share: Share, measured: MeasuredTimes, control?: number): void
  /** Writes what is new. A directory that cannot be written only costs the memory. */
  save(): Promise<void>
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
  /** A network with its latents, on a device. */
  key: z.string(),
  times: z.union([z.object({ encoderMs: ms, decoderMs: ms }), z.object({ controlNetMs: ms })]),
})
type Entry = z.infer<typeof EntrySchema>
const FileSchema = z.object({ entries: z.array(z.unknown()) })

/** The most entries; the oldest go. */
const MAX_ENTRIES = 2048

/** Opens the profiles of a cache directory. A file that is damaged counts as empty, entries of other versions are ignored. */
export function openProfiles(cacheDirectory: string, logger: Logger): Profiles {
  const file = join(cacheDirectory, 'stage-times.json')
  const entries = new Map(readEntries(file).map((entry) => [entry.key, entry.times]))
  return {
    times(subject, device, share) {
      const unet = entries.get(keyOf(subject, device, share))
      if (!unet || !('encoderMs' in unet)) return undefined
      const controlNetMs: number[] = []
      for (const control of subject.controls.keys()) {
        const times = entries.get(keyOf(subject, device, share, control))
        if (!times || !('controlNetMs' in times)) return undefined
        controlNetMs.push(times.controlNetMs)
      }
      return { ...unet, controlNetMs }
    },
    put(subject, device, share, { encoderMs, decoderMs, controlNetMs }, control) {
      const remember = (key: string, times: Entry['times']): void => {
        entries.delete(key)
        entries.set(key, times)
      }
      remember(keyOf(subject, device, share), { encoderMs, decoderMs })
      if (controlNetMs !== undefined) remember(keyOf(subject, device, share, control), { controlNetMs })
      for (const oldest of [...entries.keys()].slice(0, Math.max(0, entries.size - MAX_ENTRIES))) entries.delete(oldest)
    },
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

/** The costs of a subject's stages on some devices. Of devices of one kind the shortest times count for each of them. */
export function costsOf(profiles: Profiles, subject: Subject, devices: readonly DeviceSpec[]): StageCosts {
  return (name, share) => {
    const device = devices.find((each) => each.name === name)
    const own = device && profiles.times(subject, device, share)
    if (!own) return undefined
    const equals = devices.filter((each) => kindOf(each) === kindOf(device))
    return shortest([own, ...equals.flatMap((each) => profiles.times(subject, each, share) ?? [])])
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

function keyOf(subject: Subject, { name, threads, card }: DeviceSpec, share: Share, control?: number): string {
  const network = control === undefined ? subject.modelKey : subject.controls[control].key
  // Another card may have the number tomorrow.
  const device = card ? `${name} ${card.name}` : `${name}=${threads}`
  return JSON.stringify([network, device, [subject.rows[share], ...subject.latents]])
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
