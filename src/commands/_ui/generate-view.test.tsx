import { EventEmitter } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import { render as renderInk } from 'ink'
import { render } from 'ink-testing-library'
import { describe, expect, it } from 'vitest'
import type { DeviceStep, JobEvent } from '../../daemon/protocol/event.js'
import { GenerateView } from './generate-view.js'
import { halfBlocks } from './half-blocks.js'
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

/** As `frameAfter`, in a terminal of another width. */
function frameIn(columns: number, ...events: JobEvent[]): string {
  const stdout = Object.assign(new EventEmitter(), {
    columns,
    rows: 40,
    frame: '',
    write: (text: string) => (stdout.frame = text),
  })
  const view = events.reduce(reduceView, INITIAL_VIEW)
  const options = {
    stdout: stdout as unknown as NodeJS.WriteStream,
    debug: true,
    exitOnCtrlC: false,
    patchConsole: false,
  }
  const { unmount } = renderInk(<GenerateView view={view} />, options)
  const { frame } = stdout
  unmount()
  return frame
}

describe('generate view', () => {
  it('tells what a job waits for', () => {
    expect(frameAfter(ACCEPTED)).toBe('Waiting for 2 jobs')
    const started: JobEvent = { type: 'started', time, device: 'cpu:0' }
    expect(frameAfter(ACCEPTED, started)).toBe('Loading the model on cpu:0\ncpu:0 loads the model')
    expect(frameAfter(ACCEPTED, started, { type: 'phase', time, phase: 'encoding-prompt' })).toContain(
      'cpu:0 text encoder',
    )
  })

  it('shows step, sigma, speed and remaining time', () => {
    expect(frameAfter(ACCEPTED, step(1))).toBe(
      `${'█'.repeat(6)}${'░'.repeat(18)} step 1/4 · σ 14.60 · 0.50 s/step · 2 s left`,
    )
    expect(frameAfter(ACCEPTED, step(4))).toContain('4 steps done, decoding')
  })

  it('shows what each device did, as names and as a timeline', () => {
    const devices: DeviceStep[] = [
      { device: 'cpu:0', role: 'base', encoderMs: 100, waitMs: 50, decoderMs: 150 },
      { device: 'cpu:1', role: 'controlnet', controlNetMs: 140 },
    ]
    const [, base, control] = frameAfter(ACCEPTED, { ...step(1), devices } as JobEvent).split('\n')
    expect(base).toBe(
      `cpu:0 ${'▓'.repeat(8)}${'·'.repeat(4)}${'█'.repeat(12)} encoder 100 ms · waits 50 ms · decoder 150 ms`,
    )
    expect(control).toBe(`cpu:1 ${'▒'.repeat(24)} ControlNet 140 ms`)
    const decoding = frameAfter(ACCEPTED, { type: 'started', time, device: 'cpu:0' }, step(4))
    expect(decoding).toContain('cpu:0 VAE')
  })

  it('tells when LoRAs took effect', () => {
    const applied: JobEvent = { type: 'adapters-applied', time, step: 2, loras: ['neon', 'stripes'] }
    expect(frameAfter(ACCEPTED, step(2), applied)).toContain('LoRA neon, stripes from step 3')
  })

  it('shows the latest preview of the first image as half blocks', () => {
    const rgb = Buffer.from([255, 0, 0, 0, 0, 255]).toString('base64')
    const preview = { type: 'preview', time, step: 1, index: 0, width: 1, height: 2, rgb } as const
    const frame = frameAfter(ACCEPTED, step(1), preview, { ...preview, index: 1 })
    expect(frame.split('\n')[0]).toContain('▀')
    expect(halfBlocks({ width: 1, height: 2, rgb: Buffer.from(rgb, 'base64') }, 8, 8, 'truecolor')).toEqual([
      '\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m',
    ])
  })

  it.each([20, 40, 59, 200])('keeps within a terminal of %i columns', (columns) => {
    const rgb = Buffer.alloc(3 * 64 * 64, 90).toString('base64')
    const devices: DeviceStep[] = [{ device: 'cpu:0', role: 'base', encoderMs: 1234, waitMs: 50, decoderMs: 15000 }]
    const events: JobEvent[] = [
      ...[ACCEPTED, { ...step(1), devices } as JobEvent],
      ...[{ type: 'preview', time, step: 1, index: 0, width: 64, height: 64, rgb } as const],
    ]
    const lines = frameIn(columns, ...events).split('\n')
    expect(Math.max(...lines.map((line) => stripVTControlCharacters(line).length))).toBeLessThanOrEqual(columns)
    expect(lines.join('\n')).toContain('1/4')
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
