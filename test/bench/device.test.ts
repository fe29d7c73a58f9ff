import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { measureParts } from '../../bench/device/measure-parts.js'
import { makeDeviceModel } from '../../bench/device/models.js'
import type { DeviceModel, PartSettings } from '../../bench/device/settings.js'
import type { Figure, ScenarioNotes } from '../../bench/harness.js'
import { readOptions } from '../../bench/options.js'
import { device } from '../../bench/scenarios/device.js'
import { findSwiftshader, NO_SWIFTSHADER } from '../support/swiftshader.js'

/** Each part starts a process, and computes large matrix products. */
const SLOW = { timeout: 180_000 }

const swiftshader = findSwiftshader()
const say = (): void => undefined

describe('the device scenario', () => {
  let cacheDirectory = ''
  beforeAll(() => {
    cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-bench-device-'))
  })
  afterAll(() => rmSync(cacheDirectory, { recursive: true }))

  async function run(options: Readonly<Record<string, string>>) {
    let notes: ScenarioNotes = {}
    const note = (more: ScenarioNotes): void => void (notes = { ...notes, ...more })
    const figures = await device.run({ cacheDirectory, say, note, options: readOptions(options) })
    return { figures, notes }
  }

  const settingsFor = (model: DeviceModel, provider: 'cpu' | 'webgpu'): PartSettings => {
    return { device: { name: `${provider}:0`, provider, threads: 1 }, cacheDirectory, rounds: 1, model }
  }

  const expectSound = (figures: Readonly<Record<string, Figure>>): void => {
    for (const [name, { value, samples, unit }] of Object.entries(figures)) {
      expect(value, name).toBeGreaterThan(0)
      expect(value, name).toBeLessThan(Infinity)
      expect(samples.length, name).toBeGreaterThan(0)
      expect(unit, name).not.toBe('')
    }
  }

  it('measures all parts of a model on a CPU, and tells what the device is', SLOW, async () => {
    const { figures, notes } = await run({ on: 'cpu:0=1', model: 'demo', size: '64', rounds: '1', peak: '2' })
    const graphs = { precision: 'float32', operators: 'portable', attention: 'fused' }
    expect(notes).toEqual({
      device: { name: 'cpu:0', provider: 'cpu', threads: 1, hardware: expect.any(String) as string, ...graphs },
    })
    expectSound(figures)
    const at = (name: string): number => figures[`demo: ${name}`].value
    expect(Object.keys(figures)).toEqual(
      expect.arrayContaining([
        'demo: until the model is ready, with compiled graphs',
        'demo: until the model is ready, in a new process',
        'demo: LoRA: patch, per GB of patched weights',
        'demo: LoRA: switch to a cached overlay',
        'demo: ControlNet: cold, until it is ready',
        'demo: ControlNet: residuals, handed over to the host',
        'demo: text encoding',
        'demo: VAE decode',
      ]),
    )
    expect(at('rate of a step')).toBeCloseTo((2 * at('multiply-adds of a step')) / at('step'), 10)
    expect(at('rate of a step, of the given peak')).toBeCloseTo(at('rate of a step') / 2, 10)
    expect(at('rate of a step, of that of matrix products')).toBeCloseTo(
      at('rate of a step') / at('rate of large matrix products'),
      10,
    )
    // Nothing is copied to a CPU.
    expect(Object.keys(figures).filter((name) => name.includes('upload'))).toEqual([])
  })

  it('goes on where a part fails, and says why', SLOW, async () => {
    const model = await makeDeviceModel('demo', 'float32', cacheDirectory, 64)
    const settings = settingsFor({ ...model, controlNet: join(cacheDirectory, 'none') }, 'cpu')
    const { figures, failures } = await measureParts(['controlnets', 'loading'], settings, {}, say)
    expect(failures).toEqual([`demo, controlnets: There is no ControlNet at ${join(cacheDirectory, 'none')}.`])
    expectSound(figures)
    expect(Object.keys(figures)).toEqual([
      'demo: until the model is ready, with compiled graphs',
      'demo: until the model is ready, in a new process',
    ])
  })

  it('tells of a process that ended before it measured anything', SLOW, async () => {
    const settings = settingsFor(await makeDeviceModel('demo', 'float32', cacheDirectory, 64), 'cpu')
    // Node refuses to start with this, as a process does that its driver ends.
    const { figures, failures } = await measureParts(['loading'], settings, { NODE_OPTIONS: '--no-such-option' }, say)
    expect(figures).toEqual({})
    expect(failures).toEqual(['demo, loading: The process ended with exit code 9.'])
  })

  it(
    'compares the upload of a model with that of one tensor where a device has its own memory',
    SLOW,
    async ({ skip }) => {
      if (!swiftshader) return skip(NO_SWIFTSHADER)
      const model = await makeDeviceModel('demo', 'float32', cacheDirectory, 64)
      const environment = { ...process.env, ...swiftshader.environment }
      const { figures, failures } = await measureParts(['loading'], settingsFor(model, 'webgpu'), environment, say)
      expect(failures).toEqual([])
      expectSound(figures)
      const at = (name: string): number => figures[`demo: ${name}`].value
      expect(at('upload of the model, of one large tensor')).toBeCloseTo(
        at('upload of the model') / at('upload of one large tensor'),
        10,
      )
    },
  )

  it.each([
    [{}, 'Name the device to measure, such as --on cuda:0; "swiftd devices" lists those of this machine.'],
    [{ on: 'cpu:0,cpu:1' }, '--on takes one device, not "cpu:0,cpu:1".'],
    [{ on: 'cpu:0', model: 'sd3' }, 'There is no model "sd3" to measure with; --model takes sd15, sdxl, demo.'],
    [{ on: 'cpu:0', size: '100' }, '--size must be a multiple of 8 pixels, not 100.'],
    [{ peak: 'fast' }, '--peak must be a number above 0, not "fast".'],
  ])('refuses %o with what to give instead', async (options, sentence) => {
    await expect(run(options)).rejects.toThrow(sentence)
  })
})
