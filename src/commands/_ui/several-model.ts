import type { JobEvent } from '../../daemon/protocol/event.js'
import { INITIAL_VIEW, reduceView, type JobView } from './job-view.js'

/** A job of many. */
export interface JobOfMany {
  /** Of its prompt in the file. */
  readonly line: number
  readonly prompt: string
  readonly view: JobView
}

/** What a person sees of many jobs. */
export interface ManyJobs {
  readonly total: number
  readonly done: number
  readonly failed: number
  /** Those that are submitted and not ended, in the order of their lines. */
  readonly jobs: readonly JobOfMany[]
  /** Sentences that stay. */
  readonly notes: readonly string[]
}

export function initialView(total: number): ManyJobs {
  return { total, done: 0, failed: 0, jobs: [], notes: [] }
}

/** The view with one more job. */
export function beginJob(
  view: ManyJobs,
  line: number,
  { prompt, numImages }: { readonly prompt: string; readonly numImages: number },
): ManyJobs {
  return { ...view, jobs: [...view.jobs, { line, prompt, view: { ...INITIAL_VIEW, images: numImages } }] }
}

/** The view after an event of a job. Its notes become those of the whole, with the line. */
export function jobEvent(view: ManyJobs, line: number, event: JobEvent): ManyJobs {
  const notes = [...view.notes]
  const jobs = view.jobs.map((job) => {
    if (job.line !== line) return job
    const next = reduceView(job.view, event)
    notes.push(...next.notes.map((note) => `Line ${line}: ${note}`))
    return { ...job, view: { ...next, notes: [] } }
  })
  return { ...view, jobs, notes }
}

/** The view when a job has ended, or could not begin. */
export function endJob(view: ManyJobs, line: number, failed: boolean): ManyJobs {
  const { done, failed: before } = view
  const jobs = view.jobs.filter((job) => job.line !== line)
  return { ...view, jobs, done: done + (failed ? 0 : 1), failed: before + (failed ? 1 : 0) }
}

/** Those that a device works on. */
export function runningJobs({ jobs }: ManyJobs): JobOfMany[] {
  return jobs.filter(({ view }) => view.phase !== 'queued')
}
