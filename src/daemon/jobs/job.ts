import { SwiftdError } from '../../engine/errors.js'
import { toWireError } from '../protocol/error.js'
import type { JobEvent } from '../protocol/event.js'
import type { ImageInfo, Job, JobState, Timings } from '../protocol/job.js'
import type { ResolvedRequest } from '../protocol/request.js'
import { PROTOCOL_VERSION, SWIFTD_VERSION } from '../protocol/version.js'
import type { AdmittedRequest } from './admission.js'
import { NO_INPUTS, type JobInputs } from './job-inputs.js'

/** An event without its time, which the job adds. */
export type NewEvent = JobEvent extends infer E ? (E extends { time: number } ? Omit<E, 'time'> : never) : never

/** A job in the daemon: its state, everything that happened to it, and its images. */
export interface JobRecord {
  readonly id: string
  readonly request: ResolvedRequest
  /** Its pictures; none any more when it is finished, because they are large. */
  readonly inputs: JobInputs
  readonly state: JobState
  readonly finishedAt?: number
  /** All events so far, from `accepted` on. */
  readonly events: readonly JobEvent[]
  /** PNG files, by the index of the image. */
  readonly images: readonly Buffer[]
  /** Aborts when the job is cancelled. */
  readonly signal: AbortSignal
  /** Steps that are done. */
  readonly step: number
  /** As clients see it. */
  describe(queuePosition?: number): Job
  /** queued → running */
  start(device: string): void
  /** Records what happens while it runs. */
  emit(event: NewEvent): void
  addImage(png: Buffer, info: Omit<ImageInfo, 'index' | 'byteLength'>): void
  /** running → completed */
  complete(timings: Timings): void
  /** queued or running → failed, or cancelled if the error says so. A finished job stays as it is. */
  fail(error: unknown): void
  /** Asks for the end: at once if queued, else as soon as what runs has stopped. A finished job stays as it is. */
  cancel(): void
  /** Calls `listener` for each new event until the returned function is called. */
  subscribe(listener: (event: JobEvent) => void): () => void
}

/** A new job, queued behind `queuePosition` others. */
export function createJob(id: string, admitted: AdmittedRequest, queuePosition: number): JobRecord {
  const { request } = admitted
  const controller = new AbortController()
  const listeners = new Set<(event: JobEvent) => void>()
  const events: JobEvent[] = []
  const images: Buffer[] = []
  const infos: ImageInfo[] = []
  const createdAt = Date.now()
  let inputs = admitted.inputs
  let state: JobState = 'queued'
  let device: string | undefined
  let startedAt: number | undefined
  let finishedAt: number | undefined
  let progress: Job['progress']
  let error: Job['error']

  function emit(event: NewEvent): void {
    const timed = { ...event, time: Date.now() }
    if (timed.type === 'preview') dropPreview(timed.index)
    if (timed.type === 'step') progress = { step: timed.step, total: timed.total }
    events.push(timed)
    for (const listener of [...listeners]) listener(timed)
  }

  /** Old previews would take more memory than everything else; a heartbeat in its place keeps the events' numbers. */
  function dropPreview(index: number): void {
    const last = events.findLastIndex((event) => event.type === 'preview' && event.index === index)
    if (last >= 0) events[last] = { type: 'heartbeat', time: events[last].time }
  }

  function finish(next: JobState, event: NewEvent): void {
    state = next
    finishedAt = Date.now()
    inputs = NO_INPUTS
    for (let index = 0; index < request.numImages; index++) dropPreview(index)
    emit(event)
    listeners.clear()
  }

  const isFinished = (): boolean => finishedAt !== undefined

  function fail(cause: unknown): void {
    if (isFinished()) return
    const failure = toWireError(cause)
    if (failure.code === 'CANCELLED') return finish('cancelled', { type: 'cancelled' })
    error = failure
    finish('failed', { type: 'failed', error: failure })
  }

  emit({
    type: 'accepted',
    protocolVersion: PROTOCOL_VERSION,
    version: SWIFTD_VERSION,
    jobId: id,
    seed: request.seed,
    queuePosition,
  })
  for (const message of admitted.notes) emit({ type: 'warning', message })

  return {
    id,
    request,
    events,
    images,
    signal: controller.signal,
    get inputs() {
      return inputs
    },
    get state() {
      return state
    },
    get finishedAt() {
      return finishedAt
    },
    get step() {
      return progress?.step ?? 0
    },
    describe: (position) => ({
      ...{ id, state, request, createdAt, startedAt, finishedAt, device, progress, error },
      ...(state === 'queued' && { queuePosition: position }),
      images: infos,
    }),
    start(name) {
      state = 'running'
      device = name
      startedAt = Date.now()
      emit({ type: 'started', device: name })
    },
    emit,
    addImage(png, info) {
      const described = { index: images.length, ...info, byteLength: png.byteLength }
      images.push(png)
      infos.push(described)
      emit({ type: 'image', ...described })
    },
    complete(timings) {
      finish('completed', { type: 'completed', images: infos, timings })
    },
    fail,
    cancel() {
      if (isFinished()) return
      controller.abort()
      if (state === 'queued') fail(new SwiftdError('CANCELLED', 'The job was cancelled.'))
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
