import { unlessAborted } from '../workers/crew.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { deadlineOf } from '../workers/deadlines.js'
import { kindOf } from './candidates.js'
import type { Share } from './predict.js'
import type { Profiles } from './profiles.js'
import type { Subject } from './subject.js'

export interface MeasureOptions {
  readonly subject: Subject
  readonly devices: readonly DeviceWorker[]
  readonly shares: readonly Share[]
  readonly profiles: Profiles
  /** Whether a device keeps the model afterwards, because jobs may have it there. */
  readonly keepsModel: (device: string) => boolean
  readonly signal: AbortSignal
}

type Pair = readonly [DeviceWorker, DeviceWorker]

/** What is not known. */
interface Lacking {
  /** Devices for the whole batch. */
  readonly whole: readonly DeviceWorker[]
  /** Pairs for the halves of it. */
  readonly halves: readonly Pair[]
  readonly messages: readonly Pair[]
}

/** Whether all is known that `measureStages` would measure. */
export function isMeasured(options: Pick<MeasureOptions, 'subject' | 'devices' | 'shares' | 'profiles'>): boolean {
  const { whole, halves, messages } = lackingOf(options)
  return whole.length + halves.length + messages.length === 0
}

/**
 * Measures what is not known of a subject's stages on devices that have nothing else to do. The whole batch is measured on
 * one device after the other; its halves on two at once, because that is how they run: devices that share a processor or
 * its memory slow each other down. Of pairs of the same kinds one stands for all.
 * @throws SwiftdError CANCELLED, WORKER_LOST, or what keeps a model or ControlNet from being loaded; what was measured
 * before is remembered
 */
export async function measureStages(options: MeasureOptions): Promise<void> {
  const { subject, profiles, keepsModel, signal } = options
  const { whole, halves, messages } = lackingOf(options)
  const toLoad = new Set([...whole, ...halves.flat()])
  try {
    for (const pair of messages) await measureMessage(pair, options)
    await all([...toLoad].map((each) => load(each, options)))
    for (const each of whole) await measure(each, undefined, options)
    for (const [one, other] of halves) await all([measure(one, other, options), measure(other, one, options)])
  } finally {
    await profiles.save()
    const guests = [...toLoad].filter(({ device }) => !keepsModel(device.name))
    // A job that came meanwhile is not to wait for it, and one that uses such a device does not have its model there.
    if (!signal.aborted) await Promise.allSettled(guests.map((each) => unload(each, subject)))
  }
}

function lackingOf({
  subject,
  devices,
  shares,
  profiles,
}: Pick<MeasureOptions, 'subject' | 'devices' | 'shares' | 'profiles'>): Lacking {
  const pairs = pairsOfKinds(devices)
  const isHalfKnown = ({ device }: DeviceWorker, { device: beside }: DeviceWorker): boolean =>
    profiles.times(subject, device, beside) !== undefined
  return {
    whole: shares.includes('full') ? devices.filter(({ device }) => !profiles.times(subject, device)) : [],
    halves: shares.includes('half')
      ? pairs.filter(([one, other]) => !isHalfKnown(one, other) || !isHalfKnown(other, one))
      : [],
    messages: pairs.filter(([one, other]) => profiles.messageMs(one.device, other.device) === undefined),
  }
}

/** For any two kinds of devices the first two devices that are of them. */
function pairsOfKinds(devices: readonly DeviceWorker[]): Pair[] {
  const seen = new Set<string>()
  const pairs = devices.flatMap((one, index) => devices.slice(index + 1).map((other) => [one, other] as const))
  return pairs.filter((pair) => {
    const kinds = pair.map(({ device }) => kindOf(device)).toSorted()
    const isNew = !seen.has(kinds.join())
    seen.add(kinds.join())
    return isNew
  })
}

async function load(device: DeviceWorker, { subject, signal }: MeasureOptions): Promise<void> {
  const worker = await unlessAborted(device.ready(), signal)
  await worker.request('load', { model: subject.model }, { signal, deadlineMs: deadlineOf('load') })
}

async function unload(device: DeviceWorker, { model }: Subject): Promise<void> {
  const worker = await device.ready()
  await worker.request('unload', { model }, { deadlineMs: deadlineOf('unload') })
}

/** @param beside what computes the other half meanwhile */
async function measure(
  worker: DeviceWorker,
  beside: DeviceWorker | undefined,
  { subject, profiles, signal }: MeasureOptions,
): Promise<void> {
  const { model, controls, latents, rows } = subject
  const process = await unlessAborted(worker.ready(), signal)
  const numbers = controls.length > 0 ? [...controls.keys()] : [undefined]
  for (const control of numbers) {
    const measured = await process.request(
      'measure',
      {
        model,
        latents: [rows[beside ? 'half' : 'full'], ...latents],
        ...(control !== undefined && { controlNet: controls[control].path }),
      },
      { signal, deadlineMs: deadlineOf('measure') },
    )
    profiles.put(subject, { device: worker.device, ...(beside && { beside: beside.device }) }, measured, control)
  }
}

async function measureMessage([one, other]: Pair, { profiles, signal }: MeasureOptions): Promise<void> {
  const [asker, asked] = await unlessAborted(Promise.all([one.ready(), other.ready()]), signal)
  const { messageMs } = await asker.request(
    'measureMessage',
    { peer: asked.peer },
    { signal, deadlineMs: deadlineOf('measureMessage') },
  )
  profiles.putMessage(one.device, other.device, messageMs)
}

/** Waits for all, also where one fails: until then the workers are busy. */
async function all(tasks: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
