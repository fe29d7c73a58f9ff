import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import type { DeviceState } from '../protocol/status.js'
import type { DeviceWorker } from '../workers/device-worker.js'
import { admit } from './admission.js'
import { createJob, type JobRecord } from './job.js'
import { createDeferred } from '../deferred.js'
import { place } from '../placement/place.js'
import type { PlacementChoice } from '../placement/placement.js'
import { createJobQueue } from './job-queue.js'
import { createJobStore } from './job-store.js'

const TIMINGS = { queuedMs: 0, loadMs: 0, generateMs: 0, runtimeMs: 0 }
const request = await admit({ prompt: 'x', seed: 1 })

/** A queue over devices in the given states, whose jobs end when the test says so. */
function openTestQueue(
  states: readonly Exclude<DeviceState, 'busy'>[],
  limit?: number,
  change: (choice: PlacementChoice) => PlacementChoice = (choice) => choice,
) {
  const devices = states.map((state, index): DeviceWorker => {
    const device = { name: `cpu:${index}`, provider: 'cpu' as const, index, threads: 1 }
    return {
      device,
      status: { ...device, state, restarts: 0 },
      ready: () => Promise.reject(new Error('not used')),
      stop: () => Promise.resolve(),
    }
  })
  const names = devices.map(({ device }) => device.name)
  const roles = { base: names, controlNet: [] }
  const placed: string[] = []
  const halved = new Set<string>()
  const ends = new Map<string, () => void>()
  let count = 0
  const queue = createJobQueue({
    ...{ devices, limit, store: createJobStore(), logger: pino({ enabled: false }) },
    place(job, availability) {
      return change(place({ ...NEEDS, latentParallel: halved.has(job.id) }, availability, roles))
    },
    run: (job, { base }) =>
      new Promise<void>((resolve) => {
        placed.push(`${job.id} on ${base.device.name}`)
        ends.set(job.id, () => {
          if (job.signal.aborted) job.fail(Object.assign(new Error(), { name: 'SwiftdError', code: 'CANCELLED' }))
          else job.complete(TIMINGS)
          resolve()
        })
        job.signal.addEventListener('abort', () => ends.get(job.id)?.())
      }),
  })
  const submit = (): JobRecord => queue.submit((position) => createJob(`job-${++count}`, request, position))
  /** A job that needs two devices. */
  const submitHalved = (): JobRecord => {
    halved.add(`job-${count + 1}`)
    return submit()
  }
  const end = async (job: JobRecord): Promise<void> => {
    ends.get(job.id)?.()
    await new Promise(setImmediate)
  }
  return { queue, submit, submitHalved, end, placed }
}

const NEEDS = { controlNets: 0, latentParallel: false, batch: 2 }

describe('job queue', () => {
  it('runs one job per device at a time, in order', async () => {
    const { submit, end, placed } = openTestQueue(['idle', 'idle'])
    const [first, , third] = [submit(), submit(), submit()]
    expect(placed).toEqual(['job-1 on cpu:0', 'job-2 on cpu:1'])
    expect(third.state).toBe('queued')
    await end(first)
    expect(placed.at(-1)).toBe('job-3 on cpu:0')
    expect(first.state).toBe('completed')
  })

  it('gives a job that needs two devices both, though others come that need one', async () => {
    const { submit, submitHalved, end, placed } = openTestQueue(['idle', 'idle'])
    const [first, second] = [submit(), submit()]
    const third = submitHalved()
    const fourth = submit()
    await end(first)
    expect([third.state, fourth.state]).toEqual(['queued', 'queued'])
    await end(second)
    expect([third.state, fourth.state]).toEqual(['running', 'queued'])
    await end(third)
    expect(placed).toEqual(['job-1 on cpu:0', 'job-2 on cpu:1', 'job-3 on cpu:0', 'job-4 on cpu:0'])
  })

  it('asks again when what a job waits for is there', async () => {
    const deferred = createDeferred<void>()
    let ready = false
    const { queue, submit } = openTestQueue(['idle'], undefined, (choice) => {
      return ready ? choice : { kind: 'wait', claims: [], until: deferred.promise }
    })
    const job = submit()
    expect([job.state, queue.queued]).toEqual(['queued', 1])
    ready = true
    deferred.resolve()
    await new Promise(setImmediate)
    expect(job.state).toBe('running')
    job.cancel()
  })

  it('tells each job how many are before it', () => {
    const { queue, submit } = openTestQueue(['idle'])
    const jobs = [submit(), submit(), submit()]
    expect(jobs.map(({ events }) => events[0])).toMatchObject([
      { type: 'accepted', queuePosition: 0 },
      { type: 'accepted', queuePosition: 1 },
      { type: 'accepted', queuePosition: 2 },
    ])
    expect(jobs.map((job) => queue.positionOf(job))).toEqual([undefined, 1, 2])
  })

  it('refuses more waiting jobs than its limit', async () => {
    const { submit, end } = openTestQueue(['idle'], 1)
    const running = submit()
    submit()
    expect(submit).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }))
    await end(running)
    expect(submit().state).toBe('queued')
  })

  it('prefers a device that is ready, and avoids one that failed', () => {
    const { submit, placed } = openTestQueue(['failed', 'starting', 'idle'])
    submit()
    submit()
    submit()
    expect(placed).toEqual(['job-1 on cpu:2', 'job-2 on cpu:1'])
  })

  it('hands a job to a failed device where there is no other, so that the job can tell', () => {
    const { submit, placed } = openTestQueue(['failed'])
    submit()
    expect(placed).toEqual(['job-1 on cpu:0'])
  })

  it('cancels a waiting job at once, and the next moves up', () => {
    const { queue, submit } = openTestQueue(['idle'])
    submit()
    const [second, third] = [submit(), submit()]
    second.cancel()
    expect(second.state).toBe('cancelled')
    expect(queue.positionOf(third)).toBe(1)
  })

  it('drains: takes no more, cancels what waits, lets what runs finish', async () => {
    const { queue, submit, end } = openTestQueue(['idle'])
    const [running, waiting] = [submit(), submit()]
    const drained = queue.drain(60_000)
    expect(waiting.state).toBe('cancelled')
    expect(running.state).toBe('running')
    expect(submit).toThrow(expect.objectContaining({ code: 'DAEMON_UNREACHABLE' }))
    await end(running)
    await drained
    expect(running.state).toBe('completed')
  })

  it('cancels what still runs when the grace is over', async () => {
    const { queue, submit } = openTestQueue(['idle'])
    const running = submit()
    await queue.drain(1)
    expect(running.state).toBe('cancelled')
    expect(running.events.at(-1)?.type).toBe('cancelled')
  })
})
