import { unlessAborted } from '../workers/crew.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { deadlineOf } from '../workers/deadlines.js'
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

/**
 * Measures what is not known of a subject's stages on devices that have nothing else to do. The whole batch is measured on
 * one device after the other, its halves on all at once, because that is how they run: devices that share a processor or
 * its memory slow each other down.
 * @throws SwiftdError CANCELLED, WORKER_LOST, or what keeps a model or ControlNet from being loaded; what was measured
 * before is remembered
 */
export async function measureStages(options: MeasureOptions): Promise<void> {
  const { subject, devices, shares, profiles, keepsModel, signal } = options
  const lacking = (share: Share) => devices.filter(({ device }) => !profiles.times(subject, device, share))
  const toLoad = new Set(shares.flatMap(lacking))
  try {
    await all([...toLoad].map((each) => load(each, options)))
    if (shares.includes('full')) for (const each of lacking('full')) await measure(each, 'full', options)
    if (shares.includes('half')) await all(lacking('half').map((each) => measure(each, 'half', options)))
  } finally {
    await profiles.save()
    const guests = [...toLoad].filter(({ device }) => !keepsModel(device.name))
    // A job that came meanwhile is not to wait for it, and one that uses such a device does not have its model there.
    if (!signal.aborted) await Promise.allSettled(guests.map((each) => unload(each, subject)))
  }
}

async function load(device: DeviceWorker, { subject, signal }: MeasureOptions): Promise<void> {
  const worker = await unlessAborted(device.ready(), signal)
  await worker.request('load', { model: subject.model }, { signal, deadlineMs: deadlineOf('load') })
}

async function unload(device: DeviceWorker, { model }: Subject): Promise<void> {
  const worker = await device.ready()
  await worker.request('unload', { model }, { deadlineMs: deadlineOf('unload') })
}

async function measure(
  worker: DeviceWorker,
  share: Share,
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
        latents: [rows[share], ...latents],
        ...(control !== undefined && { controlNet: controls[control].path }),
      },
      { signal, deadlineMs: deadlineOf('measure') },
    )
    profiles.put(subject, worker.device, share, measured, control)
  }
}

/** Waits for all, also where one fails: until then the workers are busy. */
async function all(tasks: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
