import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openEnvironment, type Environment } from '../ort/environment.js'
import { liveNativeObjects } from '../ort/native.js'
import { proveDevice } from './device-proof.js'
import { createGraphCache, type GraphCache } from './graph-cache.js'

let environment: Environment
let graphs: GraphCache
let liveBefore: number
beforeAll(() => {
  liveBefore = liveNativeObjects()
  environment = openEnvironment({ threads: 1 })
  graphs = createGraphCache(environment)
})
afterAll(() => environment.release())

describe('the proof of a device', () => {
  it('computes what it should, and leaves nothing behind but the graph', async () => {
    const first = await proveDevice(graphs)
    expect(first).toBeGreaterThan(0)
    const live = liveNativeObjects()
    await proveDevice(graphs)
    expect([graphs.compiled, liveNativeObjects()]).toEqual([1, live])
    await graphs.release()
    // The environment, and perhaps the name of the host's memory, which stays.
    expect(liveNativeObjects() - liveBefore).toBeLessThanOrEqual(2)
  })
})
