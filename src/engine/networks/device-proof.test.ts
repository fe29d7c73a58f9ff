import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openEnvironment, type Environment } from '../ort/environment.js'
import { liveNativeObjects } from '../ort/native.js'
import { proveDevice } from './device-proof.js'

let environment: Environment
beforeAll(() => {
  environment = openEnvironment({ threads: 1 })
})
afterAll(() => environment.release())

describe('the proof of a device', () => {
  it('computes what it should, and leaves nothing behind', async () => {
    expect(await proveDevice(environment)).toBeGreaterThan(0)
    const live = liveNativeObjects()
    await proveDevice(environment)
    expect(liveNativeObjects()).toBe(live)
  })
})
