import { describe, expect, it } from 'vitest'
import { isTerminal, parseJobEvent } from './event.js'

describe('job events', () => {
  it('of an unknown type are left out, whatever they hold', () => {
    expect(parseJobEvent({ type: 'hologram', cells: [] })).toBeUndefined()
  })

  it('of a known type must be whole', () => {
    expect(() => parseJobEvent({ type: 'started', time: 1 })).toThrow('device')
    expect(() => parseJobEvent('started')).toThrow()
  })

  it('may have fields that this version does not know', () => {
    expect(parseJobEvent({ type: 'started', time: 1, device: 'cpu:0', colour: 'red' })).toEqual({
      ...{ type: 'started', time: 1, device: 'cpu:0' },
    })
  })

  it('read an error code of a newer daemon as a fault', () => {
    const event = parseJobEvent({ type: 'failed', time: 1, error: { code: 'FLUX_CAPACITOR', message: 'm' } })
    expect(event).toMatchObject({ error: { code: 'INTERNAL_ERROR', message: 'm' } })
  })

  it('end with completed, failed or cancelled', () => {
    const time = 1
    expect(isTerminal({ type: 'cancelled', time })).toBe(true)
    expect(isTerminal({ type: 'heartbeat', time })).toBe(false)
  })
})
