import { render } from 'ink-testing-library'
import { describe, expect, it } from 'vitest'
import type { Job } from '../../daemon/protocol/job.js'
import { throughputOf, type Snapshot } from './top-model.js'
import { TopView } from './top-view.js'

const job = (id: string, more: Partial<Job>): Job =>
  ({
    id,
    state: 'queued',
    request: { model: 'demo', prompt: `prompt of ${id}` },
    images: [],
    createdAt: 0,
    ...more,
  }) as Job
const JOBS = [
  job('waiting00000', { queuePosition: 1 }),
  job('running00000', { state: 'running', device: 'cpu:0', progress: { step: 5, total: 20 } }),
  job('finished0000', { state: 'completed', finishedAt: 100_000, images: [{} as Job['images'][0]] }),
]
const SNAPSHOT: Snapshot = {
  at: 1000,
  jobs: JOBS,
  memory: { available: 2e9, total: 8e9 },
  status: {
    ...{ version: '1.2.3', protocolVersion: 1, pid: 1, state: 'ready', uptimeMs: 5000, logFile: '' },
    devices: [
      { name: 'cpu:0', threads: 2, state: 'busy', restarts: 0, jobId: 'running00000' },
      { name: 'cpu:1', threads: 1, state: 'idle', restarts: 0 },
    ],
    ...{ jobs: { queued: 1, queueLimit: 64, running: 1, finished: 1 }, arena: { used: 1e6, size: 8e9 } },
    residents: [{ name: 'demo', kind: 'model', device: 'cpu:0', bytes: 9e6, uses: 3, lastUsedMs: 1 }],
  },
}

describe('top', () => {
  it('shows devices, jobs in their order, and what is in memory', () => {
    const { lastFrame, unmount } = render(
      <TopView snapshot={SNAPSHOT} throughput={{ imagesPerMinute: 4, stepsPerSecond: 2.5 }} />,
    )
    const frame = lastFrame() ?? ''
    unmount()
    expect(frame.split('\n')).toEqual([
      'swiftd 1.2.3 · ready for 5 s',
      '2.5 steps/s · 4 images in the last minute',
      '2.0 GB of 8.0 GB free · 1.0 MB shared',
      'DEVICES',
      'cpu:0 ████░░░░░░░░░░░░ step 5/20 · 2 threads',
      'cpu:1 idle · 1 thread',
      'JOBS 1 running, 1 waiting',
      'running0 cpu:0 · demo · prompt of running00000',
      'waiting0 waits behind 1 · demo · prompt of waiting00000',
      'IN MEMORY 9.0 MB',
      'demo · model on cpu:0 · 9.0 MB · 3 uses',
    ])
  })

  it('counts the steps between two looks, and the images of the last minute', () => {
    const later = {
      ...SNAPSHOT,
      at: 3000,
      jobs: [job('running00000', { state: 'running', progress: { step: 15, total: 20 } })],
    }
    expect(throughputOf(later, SNAPSHOT, 100_000)).toEqual({ stepsPerSecond: 5, imagesPerMinute: 0 })
    expect(throughputOf(SNAPSHOT, undefined, 130_000)).toEqual({ imagesPerMinute: 1 })
    expect(throughputOf(SNAPSHOT, undefined, 200_000)).toEqual({ imagesPerMinute: 0 })
  })
})
