import { describe, expect, it } from 'vitest'
import { SwiftdError } from '../../engine/errors.js'
import type { Job } from '../../daemon/protocol/job.js'
import { createDeferred } from '../../daemon/deferred.js'
import { runLines, type Outcome } from './generate-queue.js'

const LINES = [1, 2, 3].map((line) => ({ line }))
const jobOf = (id: string): Job => ({ id }) as Job

describe('lines of prompts', () => {
  it('are submitted in order, followed at once, and told in order', async () => {
    const ends = new Map(LINES.map(({ line }) => [line, createDeferred<string>()]))
    const followed: string[] = []
    const told: number[] = []
    const running = runLines(LINES, {
      submit: ({ line }) => Promise.resolve(jobOf(String(line))),
      follow({ id }, { line }) {
        followed.push(id)
        return ends.get(line)!.promise
      },
      onFull: () => undefined,
      onOutcome: ({ line }) => void told.push(line),
      signal: new AbortController().signal,
    })
    for (const line of [3, 2, 1]) ends.get(line)!.resolve(`end of ${line}`)
    const { outcomes, stopped } = await running
    expect(followed).toEqual(['1', '2', '3'])
    expect(told).toEqual([1, 2, 3])
    expect(outcomes.map((outcome) => 'result' in outcome && outcome.result)).toEqual(
      [1, 2, 3].map((n) => `end of ${n}`),
    )
    expect(stopped).toBeUndefined()
  })

  it('are not tried any more when the daemon cannot be reached, which is told once', async () => {
    const gone = new SwiftdError('DAEMON_UNREACHABLE', 'Gone.')
    const tried: number[] = []
    const told: Outcome<string>[] = []
    const { outcomes, stopped } = await runLines(LINES, {
      submit({ line }) {
        tried.push(line)
        return line === 2 ? Promise.reject(gone) : Promise.resolve(jobOf('a'))
      },
      follow: ({ id }) => Promise.resolve(id),
      onFull: () => undefined,
      onOutcome: (outcome) => void told.push(outcome),
      signal: new AbortController().signal,
    })
    expect(tried).toEqual([1, 2])
    expect(told).toEqual([{ line: 1, result: 'a' }])
    expect(outcomes.slice(1)).toEqual([2, 3].map((line) => ({ line, error: gone })))
    expect(stopped).toBe(gone)
  })

  it('that wait for room end with the reason of the signal', async () => {
    const controller = new AbortController()
    const reason = new SwiftdError('CANCELLED', 'Cancelled.')
    const { outcomes, stopped } = await runLines(LINES, {
      submit: () => Promise.reject(new SwiftdError('QUEUE_FULL', 'Full.')),
      follow: ({ id }) => Promise.resolve(id),
      onFull: () => controller.abort(reason),
      onOutcome: () => undefined,
      signal: controller.signal,
    })
    expect(outcomes).toEqual(LINES.map(({ line }) => ({ line, error: reason })))
    expect(stopped).toBe(reason)
  })
})
