import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { admit } from './admission.js'
import { createJob, type JobRecord } from './job.js'
import { createJobStore } from './job-store.js'

const request = await admit({ prompt: 'x', seed: 1 })
const LIMITS = { maxJobs: 2, maxBytes: 1000, maxAgeMs: 600_000 }

function finishedJob(id: string, imageBytes = 10): JobRecord {
  const job = createJob(id, request, 0)
  job.start('cpu:0')
  job.addImage(Buffer.alloc(imageBytes), { width: 8, height: 8, seed: 1 })
  job.complete({ queuedMs: 0, loadMs: 0, generateMs: 0, runtimeMs: 0 })
  return job
}

describe('job store', () => {
  it('tells a job that never was from one that was dropped', () => {
    const store = createJobStore(LIMITS)
    for (const id of ['a', 'b', 'c']) store.retire(finishedJob(id))
    expect(store.list().map(({ id }) => id)).toEqual(['b', 'c'])
    expect(() => store.get('a')).toThrow(expect.objectContaining({ code: 'JOB_EXPIRED' }))
    expect(() => store.get('z')).toThrow(expect.objectContaining({ code: 'JOB_NOT_FOUND' }))
  })

  it('never drops a job that is not finished', () => {
    const store = createJobStore(LIMITS)
    const running = createJob('running', request, 0)
    store.add(running)
    for (const id of ['a', 'b', 'c']) store.retire(finishedJob(id))
    expect(store.get('running')).toBe(running)
  })

  it('drops the oldest when the images get too large', () => {
    const store = createJobStore(LIMITS)
    store.retire(finishedJob('a', 600))
    store.retire(finishedJob('b', 600))
    expect(store.list().map(({ id }) => id)).toEqual(['b'])
  })

  it('keeps the newest job even if it is larger than everything that is kept', () => {
    const store = createJobStore(LIMITS)
    store.retire(finishedJob('huge', 5000))
    expect(store.get('huge').images[0]).toHaveLength(5000)
  })

  it('drops jobs by age', async () => {
    const store = createJobStore({ ...LIMITS, maxAgeMs: 5 })
    store.retire(finishedJob('a'))
    await sleep(50)
    expect(() => store.get('a')).toThrow(expect.objectContaining({ code: 'JOB_EXPIRED' }))
  })
})
