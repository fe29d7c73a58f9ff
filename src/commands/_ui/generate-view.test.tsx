import { render } from 'ink-testing-library'
import { describe, expect, it } from 'vitest'
import type { JobEvent } from '../../daemon/protocol/event.js'
import { GenerateView } from './generate-view.js'
import { INITIAL_VIEW, reduceView, remainingSeconds } from './job-view.js'

const time = 0
const step = (number: number): JobEvent => ({
  ...{ type: 'step', time, step: number, total: 4, timestep: 1, sigma: 14.6, elapsedMs: 500, runtimeMs: 400 },
})
const ACCEPTED: JobEvent = {
  ...{ type: 'accepted', time, protocolVersion: 1, version: '0', jobId: 'j', seed: 7, queuePosition: 2 },
}
const RESTARTED: JobEvent = {
  ...{ type: 'worker-restarted', time, device: 'cpu:0', step: 1, reason: 'it was killed by SIGKILL' },
}

function frameAfter(...events: JobEvent[]): string {
  const { lastFrame, unmount } = render(<GenerateView view={events.reduce(reduceView, INITIAL_VIEW)} />)
  const frame = lastFrame() ?? ''
  unmount()
  return frame
}

describe('generate view', () => {
  it('tells what a job waits for', () => {
    expect(frameAfter(ACCEPTED)).toBe('Waiting for 2 jobs')
    expect(frameAfter(ACCEPTED, { type: 'started', time, device: 'cpu:0' })).toBe('Loading the model on cpu:0')
  })

  it('shows step, sigma, speed and remaining time', () => {
    expect(frameAfter(ACCEPTED, step(1))).toBe(
      `${'█'.repeat(6)}${'░'.repeat(18)} step 1/4 · σ 14.60 · 0.50 s/step · 2 s left`,
    )
    expect(frameAfter(ACCEPTED, step(4))).toContain('4 steps done, decoding')
  })

  it('keeps a line for a worker that was replaced', () => {
    expect(frameAfter(ACCEPTED, step(1), RESTARTED)).toMatch(/^! The worker of cpu:0 was replaced after step 1;/)
  })
})

describe('job view', () => {
  it('smooths the time of a step', () => {
    const slow = reduceView(reduceView(INITIAL_VIEW, step(1)), { ...step(2), elapsedMs: 1500 } as JobEvent)
    expect(slow.secondsPerStep).toBeCloseTo(0.8)
    expect(remainingSeconds(slow)).toBeCloseTo(1.6)
    expect(remainingSeconds(INITIAL_VIEW)).toBeUndefined()
  })

  it('is not changed by heartbeats', () => {
    expect(reduceView(INITIAL_VIEW, { type: 'heartbeat', time })).toBe(INITIAL_VIEW)
  })
})
