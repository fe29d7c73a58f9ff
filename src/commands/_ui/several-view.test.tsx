import { EventEmitter } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import { render as renderInk } from 'ink'
import { render } from 'ink-testing-library'
import { describe, expect, it } from 'vitest'
import type { JobEvent } from '../../daemon/protocol/event.js'
import { beginJob, endJob, initialView, jobEvent, type ManyJobs } from './several-model.js'
import { SeveralView } from './several-view.js'

const time = 0
const STARTED: JobEvent = { type: 'started', time, device: 'cpu:0' }
const step = (number: number): JobEvent => ({
  ...{ type: 'step', time, step: number, total: 4, timestep: 1, sigma: 14.6, elapsedMs: 500, runtimeMs: 400 },
})

/** Jobs of lines 1 to `running`, which are at their first step, of `total`. */
function running(count: number, total: number, numImages = 1): ManyJobs {
  const lines = Array.from({ length: count }, (_, index) => index + 1)
  return lines.reduce((view, line) => {
    const begun = beginJob(view, line, { prompt: `prompt\nof line ${line}`, numImages })
    return jobEvent(jobEvent(begun, line, STARTED), line, step(1))
  }, initialView(total))
}

function linesIn(view: ManyJobs, columns: number, rows = 24): string[] {
  const stdout = Object.assign(new EventEmitter(), {
    ...{ columns, rows, frame: '' },
    write: (text: string) => (stdout.frame = text),
  })
  const options = { stdout: stdout as unknown as NodeJS.WriteStream, debug: true, exitOnCtrlC: false }
  const { unmount } = renderInk(<SeveralView view={view} />, { ...options, patchConsole: false })
  const { frame } = stdout
  unmount()
  return stripVTControlCharacters(frame).trimEnd().split('\n')
}

describe('the view of many jobs', () => {
  it('has a bar for each job that runs, and counts the others', () => {
    const waiting = beginJob(running(2, 5), 3, { prompt: 'x', numImages: 1 })
    expect(linesIn(waiting, 80)).toEqual([
      expect.stringMatching(/^1: █+░+ step 1\/4 · σ 14\.60 · 0\.50 s\/step · 2 s left$/),
      expect.stringMatching(/^2: █+░+ step 1\/4 /),
      '0 of 5 done · 3 wait',
    ])
  })

  it('says of a batch how many images it has', () => {
    expect(linesIn(running(1, 1, 3), 80)[0]).toMatch(/ · 3 images$/)
    expect(linesIn(running(1, 1), 80)[0]).not.toContain('image')
  })

  it('takes a job off when it ends, and counts those that failed', () => {
    const ended = endJob(endJob(running(3, 4), 1, false), 3, true)
    expect(linesIn(ended, 80)).toEqual([expect.stringMatching(/^2: /), '1 of 4 done · 1 failed · 1 wait'])
  })

  it('keeps notes, with the line that they are about', () => {
    const noted = jobEvent(running(2, 2), 2, { type: 'warning', time, message: 'The prompt is long.' })
    const { lastFrame, unmount } = render(<SeveralView view={noted} />)
    expect(lastFrame()).toMatch(/^! Line 2: The prompt is long\./)
    unmount()
  })

  it('shows the prompt, in one line, where there is room', () => {
    expect(linesIn(running(1, 1), 120)[0]).toMatch(/ {2}prompt of line 1$/)
    expect(linesIn(running(1, 1), 80)[0]).not.toContain('prompt')
  })

  it.each([10, 20, 40, 59, 80, 100, 200])('keeps within a terminal of %i columns', (columns) => {
    const lines = linesIn(running(3, 12, 2), columns)
    expect(lines).toHaveLength(4)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns)
  })

  it.each([
    [4, ['1: ', 'and 11 more', '0 of 12 done']],
    [5, ['1: ', '2: ', 'and 10 more', '0 of 12 done']],
    [3, ['and 12 more', '0 of 12 done']],
  ])('keeps within a terminal of %i rows', (rows, expected) => {
    const lines = linesIn(running(12, 12), 80, rows)
    expect(lines.map((line, index) => line.slice(0, expected[index]?.length))).toEqual(expected)
  })
})
