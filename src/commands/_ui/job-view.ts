import type { DeviceStep, JobEvent } from '../../daemon/protocol/event.js'

/** A small picture of what an image may become. */
export interface Preview {
  readonly width: number
  readonly height: number
  /** Red, green and blue bytes, row by row. */
  readonly rgb: Uint8Array
}

/** What a person sees of a job. */
export interface JobView {
  readonly phase: 'queued' | 'loading' | 'encoding' | 'denoising' | 'decoding' | 'done'
  /** Jobs before it, while queued. */
  readonly queuePosition: number
  readonly device?: string
  readonly seed?: number
  /** How many it draws in one batch, where that is known. */
  readonly images?: number
  readonly step: number
  /** 0 until the first step. */
  readonly total: number
  readonly sigma?: number
  /** Of the last steps, smoothed. */
  readonly secondsPerStep?: number
  /** What each device did in the last step. */
  readonly devices: readonly DeviceStep[]
  /** Of the first image. */
  readonly preview?: Preview
  /** When LoRAs took effect, as a phrase. */
  readonly adapters?: string
  /** Sentences that stay: warnings, restarts. */
  readonly notes: readonly string[]
}

export const INITIAL_VIEW: JobView = { phase: 'queued', queuePosition: 0, step: 0, total: 0, devices: [], notes: [] }

/** The weight of the newest step in `secondsPerStep`. */
const SMOOTHING = 0.3

const PHASES = { 'encoding-prompt': 'encoding', denoising: 'denoising', decoding: 'decoding' } as const

/** The view after one more event. */
export function reduceView(view: JobView, event: JobEvent): JobView {
  switch (event.type) {
    case 'accepted':
      return { ...view, seed: event.seed, queuePosition: event.queuePosition }
    case 'started':
      return { ...view, phase: 'loading', device: event.device }
    case 'model-loaded':
      return { ...view, phase: 'encoding' }
    case 'phase':
      return { ...view, phase: PHASES[event.phase] }
    case 'step':
      return afterStep(view, event)
    case 'adapters-applied':
      return { ...view, adapters: describeAdapters(event) }
    case 'preview':
      return event.index === 0 ? { ...view, preview: readPreview(event) } : view
    case 'warning':
    case 'worker-restarted':
      return { ...view, notes: [...view.notes, describeNote(event)] }
    case 'image':
    case 'completed':
      return { ...view, phase: 'done' }
    case 'heartbeat':
    case 'failed':
    case 'cancelled':
      return view
  }
}

function afterStep(view: JobView, event: Extract<JobEvent, { type: 'step' }>): JobView {
  const { step, total, sigma, elapsedMs, devices } = event
  return {
    ...view,
    ...{ phase: step === total ? 'decoding' : 'denoising', step, total, sigma },
    secondsPerStep: smooth(view.secondsPerStep, elapsedMs / 1000),
    devices: devices ?? view.devices,
  }
}

function readPreview({ width, height, rgb }: Extract<JobEvent, { type: 'preview' }>): Preview {
  return { width, height, rgb: Buffer.from(rgb, 'base64') }
}

/** Which LoRAs are in effect since when: `neon, stripes from step 3`. */
export function describeAdapters({ step, loras }: Extract<JobEvent, { type: 'adapters-applied' }>): string {
  return `${loras.join(', ')} from ${step === 0 ? 'the first step' : `step ${step + 1}`}`
}

/** The sentence for an event that a person should not miss. */
export function describeNote(event: Extract<JobEvent, { type: 'warning' | 'worker-restarted' }>): string {
  if (event.type === 'warning') return event.message
  return `The worker of ${event.device} was replaced after step ${event.step}; the job goes on. (${event.reason})`
}

/** Seconds until the last step, where it can be told. */
export function remainingSeconds({ secondsPerStep, step, total }: JobView): number | undefined {
  return secondsPerStep === undefined ? undefined : secondsPerStep * (total - step)
}

function smooth(previous: number | undefined, value: number): number {
  return previous === undefined ? value : previous + SMOOTHING * (value - previous)
}

/** A part of a device's time in a step. */
export interface TimelinePart {
  readonly what: 'encoder' | 'decoder' | 'UNet' | 'ControlNet' | 'waits'
  readonly milliseconds: number
}

/** What a device did in a step, in the order in which it did it. */
export function timelineOf(step: DeviceStep): TimelinePart[] {
  const parts: TimelinePart[] = [
    { what: 'ControlNet', milliseconds: step.controlNetMs ?? 0 },
    { what: 'encoder', milliseconds: step.encoderMs ?? 0 },
    { what: 'waits', milliseconds: step.waitMs ?? 0 },
    { what: 'decoder', milliseconds: step.decoderMs ?? 0 },
  ]
  return parts.filter(({ milliseconds }) => milliseconds > 0)
}
