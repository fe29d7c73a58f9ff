import { describe, expect, it } from 'vitest'
import { createChannel } from './channel.js'
import type { ToWorker } from './messages.js'

const HANDLE = { offset: 0, byteLength: 4, dims: [1] }
const DECODE = { model: { path: '/m' }, latents: HANDLE, out: HANDLE }

function openTestChannel() {
  const sent: ToWorker[] = []
  const deadlines: string[] = []
  const channel = createChannel({
    send: (message) => sent.push(message),
    onDeadline: (method) => deadlines.push(method),
  })
  return { channel, sent, deadlines }
}

describe('worker channel', () => {
  it('matches answers to requests by id, in any order', async () => {
    const { channel } = openTestChannel()
    const first = channel.request('decodeLatents', DECODE, { deadlineMs: 1000 })
    const second = channel.request('decodeLatents', DECODE, { deadlineMs: 1000 })
    channel.receive({ type: 'result', id: 2, result: { runtimeMs: 2 } })
    channel.receive({ type: 'result', id: 1, result: { runtimeMs: 1 } })
    expect(await Promise.all([first, second])).toEqual([{ runtimeMs: 1 }, { runtimeMs: 2 }])
    expect(channel.pending).toBe(0)
  })

  it('throws what the worker reports, with its code', async () => {
    const { channel } = openTestChannel()
    const request = channel.request('load', { model: { path: '/m' } }, { deadlineMs: 1000 })
    channel.receive({ type: 'error', id: 1, error: { code: 'INVALID_WEIGHTS', message: 'bad file' } })
    await expect(request).rejects.toMatchObject({ code: 'INVALID_WEIGHTS', message: 'bad file' })
  })

  it('refuses a result that is not what the method gives', async () => {
    const { channel } = openTestChannel()
    const request = channel.request('decodeLatents', DECODE, { deadlineMs: 1000 })
    channel.receive({ type: 'result', id: 1, result: { runtimeMs: 'soon' } })
    await expect(request).rejects.toThrow('runtimeMs')
  })

  it('fails every pending and every later request at once when it closes', async () => {
    const { channel, sent } = openTestChannel()
    const requests = [1, 2].map(() => channel.request('decodeLatents', DECODE, { deadlineMs: 1000 }))
    channel.close('it was killed by SIGKILL')
    const later = channel.request('decodeLatents', DECODE, { deadlineMs: 1000 })
    for (const request of [...requests, later]) {
      await expect(request).rejects.toMatchObject({
        code: 'WORKER_LOST',
        message: expect.stringContaining('SIGKILL') as string,
      })
    }
    expect(sent).toHaveLength(2)
  })

  it('ignores answers to requests that are not pending', () => {
    const { channel } = openTestChannel()
    channel.receive({ type: 'result', id: 99, result: {} })
    channel.receive({ type: 'error', id: 99, error: { code: 'RUNTIME_ERROR', message: 'late' } })
    expect(channel.pending).toBe(0)
  })

  it('asks the worker to cancel, and still waits for its answer', async () => {
    const { channel, sent } = openTestChannel()
    const controller = new AbortController()
    const request = channel.request('decodeLatents', DECODE, { signal: controller.signal, deadlineMs: 1000 })
    controller.abort()
    expect(sent.at(-1)).toEqual({ type: 'cancel', id: 1 })
    expect(channel.pending).toBe(1)
    channel.receive({ type: 'error', id: 1, error: { code: 'CANCELLED', message: 'cancelled' } })
    await expect(request).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('sends nothing for a job that is cancelled already', async () => {
    const { channel, sent } = openTestChannel()
    const request = channel.request('decodeLatents', DECODE, { signal: AbortSignal.abort(), deadlineMs: 1000 })
    await expect(request).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(sent).toEqual([])
  })

  it('reports a request whose deadline passes', async () => {
    const { channel, deadlines } = openTestChannel()
    const request = channel.request('decodeLatents', DECODE, { deadlineMs: 1 })
    await expect.poll(() => deadlines).toEqual(['decodeLatents'])
    channel.close('it did not answer')
    await expect(request).rejects.toMatchObject({ code: 'WORKER_LOST' })
  })
})
