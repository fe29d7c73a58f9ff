import type { JobEvent } from '../../daemon/protocol/event.js'

/** What a person sees of a job. */
export interface JobView {
  readonly phase: 'queued' | 'loading' | 'denoising' | 'decoding' | 'done'
  /** Jobs before it, while queued. */
  readonly queuePosition: number
  readonly device?: string
  readonly seed?: number
  readonly step: number
  /** 0 until the first step. */
  readonly total: number
  readonly sigma?: number
  /** Of the last steps, smoothed. */
  readonly secondsPerStep?: number
  /** Sentences that stay: warnings, restarts. */
  readonly notes: readonly string[]
}

export const INITIAL_VIEW: JobView = { phase: 'queued', queuePosition: 0, step: 0, total: 0, notes: [] }

/** The weight of the newest step in `secondsPerStep`. */
const SMOOTHING = 0.3

/** The view after one more event. */
export function reduceView(view: JobView, event: JobEvent): JobView {
  switch (event.type) {
    case 'accepted':
      return { ...view, seed: event.seed, queuePosition: event.queuePosition }
    case 'started':
      return { ...view, phase: 'loading', device: event.device }
    case 'model-loaded':
      return { ...view, phase: 'denoising' }
    case 'step':
      return {
        ...view,
        phase: event.step === event.total ? 'decoding' : 'denoising',
        step: event.step,
        total: event.total,
        sigma: event.sigma,
        secondsPerStep: smooth(view.secondsPerStep, event.elapsedMs / 1000),
      }
    case 'warning':
    case 'worker-restarted':
      return { ...view, notes: [...view.notes, describeNote(event)] }
    case 'image':
    case 'completed':
      return { ...view, phase: 'done' }
    case 'adapters-applied':
    case 'heartbeat':
    case 'failed':
    case 'cancelled':
      return view
  }
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
