import { describe, expect, it } from 'vitest'
import { SwiftdError } from '../../engine/errors.js'
import { isTerminal, JobEventSchema } from '../protocol/event.js'
import { JobSchema } from '../protocol/job.js'
import { admit } from './admission.js'
import { createJob } from './job.js'

const request = await admit({ prompt: 'a star', seed: 7 })
const TIMINGS = { queuedMs: 1, loadMs: 2, generateMs: 3, runtimeMs: 2 }

describe('job', () => {
  it('goes from queued to running to completed, and is valid on the wire in each state', () => {
    const job = createJob('1', request, 2)
    expect(JobSchema.parse(job.describe(2))).toMatchObject({ state: 'queued', queuePosition: 2, images: [] })
    job.start('cpu:0')
    job.emit({ type: 'step', step: 1, total: 2, timestep: 999, elapsedMs: 5, runtimeMs: 4 })
    expect(JobSchema.parse(job.describe())).toMatchObject({
      ...{ state: 'running', device: 'cpu:0', progress: { step: 1, total: 2 } },
    })
    job.addImage(Buffer.alloc(3), { width: 8, height: 8, seed: 7 })
    job.complete(TIMINGS)
    const image = { index: 0, width: 8, height: 8, seed: 7, byteLength: 3 }
    expect(JobSchema.parse(job.describe())).toMatchObject({ state: 'completed', images: [image] })
    expect(job.events.map(({ type }) => type)).toEqual(['accepted', 'started', 'step', 'image', 'completed'])
    for (const event of job.events) expect(JobEventSchema.parse(event)).toEqual(event)
  })

  it('has exactly one terminal event, whatever comes after it', () => {
    const job = createJob('1', request, 0)
    job.start('cpu:0')
    job.fail(new SwiftdError('RUNTIME_ERROR', 'broken'))
    job.fail(new SwiftdError('RUNTIME_ERROR', 'again'))
    job.cancel()
    expect(job.events.filter(isTerminal)).toMatchObject([{ type: 'failed', error: { message: 'broken' } }])
    expect(job.describe().error).toEqual({ code: 'RUNTIME_ERROR', message: 'broken' })
  })

  it('is cancelled at once while it waits, and only asked to stop while it runs', () => {
    const waiting = createJob('1', request, 0)
    waiting.cancel()
    expect(waiting.state).toBe('cancelled')
    const running = createJob('2', request, 0)
    running.start('cpu:0')
    running.cancel()
    expect(running.signal.aborted).toBe(true)
    expect(running.state).toBe('running')
    running.fail(new SwiftdError('CANCELLED', 'The job was cancelled.'))
    expect(running.state).toBe('cancelled')
  })

  it('tells its subscribers until it ends or they leave', () => {
    const job = createJob('1', request, 0)
    const heard: string[] = []
    const unsubscribe = job.subscribe(({ type }) => heard.push(type))
    job.start('cpu:0')
    unsubscribe()
    job.complete(TIMINGS)
    expect(heard).toEqual(['started'])
  })
})
