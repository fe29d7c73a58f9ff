import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { difference, draw, type Drawn } from './support/draw.js'
import { findHalfDriver, NO_HALF_DRIVER } from './support/half-driver.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'
import { findSwiftshader, NO_SWIFTSHADER } from './support/swiftshader.js'

const swiftshader = findSwiftshader()
/** A device tells its precision when its worker is ready. */
const STARTS = { timeout: 30_000 }

describe('the setting precision', () => {
  let sandbox: Sandbox
  afterEach(() => sandbox.dispose())

  /** What `devices` says that a device computes in. */
  async function precisionOf(device: string): Promise<string | undefined> {
    const { stdout } = await sandbox.run(['devices'])
    const [heading, ...rows] = stdout.split('\n').map((line) => line.split(/ {2,}/))
    const row = rows.find(([name]) => name === device)
    // The threads of a GPU are left empty, which the split does not see.
    return row?.[heading.indexOf('PRECISION') - (device.startsWith('cpu') ? 0 : 1)]
  }

  it('changes nothing on a CPU where it is float16', async () => {
    sandbox = createSandbox()
    expect(await sandbox.run(['config', 'set', 'precision', 'float16'])).toMatchObject({ exitCode: 0 })
    expect(await sandbox.run(['daemon', 'start'])).toMatchObject({ exitCode: 0 })
    await expect.poll(() => precisionOf('cpu:0'), STARTS).toBe('float32')
    expect((await sandbox.connect().status()).devices[0]).toMatchObject({ precision: 'float32', state: 'idle' })
  })

  it('has a CPU take files in float16 as they are where it is mixed', async () => {
    sandbox = createSandbox()
    const copies = join(sandbox.paths.cacheDirectory, 'float32')
    const control = {
      controlNet: 'canny',
      image: readFileSync('fixtures/models/examples/canny_0.png').toString('base64'),
    }
    const request = { prompt: 'a red star', seed: 7, numInferenceSteps: 3, controls: [control] }
    const drawn: Drawn[] = []
    for (const [told, computed] of [
      ['mixed', 'mixed'],
      ['auto', 'float32'],
    ]) {
      expect(await sandbox.run(['daemon', 'restart', '--precision', told])).toMatchObject({ exitCode: 0 })
      await expect.poll(() => precisionOf('cpu:0'), STARTS).toBe(computed)
      drawn.push(await draw(sandbox.connect(), request))
      expect(existsSync(copies)).toBe(computed === 'float32')
    }
    const [mixed, float32] = drawn
    expect(difference(mixed.images[0], float32.images[0])).toBeLessThan(0.01)
  }, 60_000)

  it('is refused where it is none of its words, and nothing is started', async () => {
    sandbox = createSandbox()
    expect(await sandbox.run(['config', 'set', 'precision', 'half'])).toMatchObject({
      ...{ exitCode: 2, stderr: 'Error: precision must be auto or float16 or mixed or float32, not "half".' },
    })
    expect(await sandbox.run(['daemon', 'start', '--precision', 'half'])).toMatchObject({ exitCode: 2 })
    const { exitCode, stderr } = await sandbox.run(['daemon', 'start'], { env: { SWIFTD_PRECISION: 'bfloat16' } })
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('(SWIFTD_PRECISION) must be auto or float16')])
    expect(await sandbox.run(['daemon', 'status'])).toMatchObject({ exitCode: 3 })
  })

  const halfDriver = findHalfDriver()
  it.skipIf(!halfDriver)(
    `is the one that a GPU with half precision is told, or computes well in${halfDriver ? '' : ` (${NO_HALF_DRIVER})`}`,
    async () => {
      sandbox = createSandbox({ ...halfDriver, SWIFTD_DEVICES: 'webgpu:0' })
      for (const [set, computed] of [
        ['auto', 'mixed'],
        ['float16', 'float16'],
        ['float32', 'float32'],
      ]) {
        await sandbox.run(['daemon', 'restart', '--precision', set])
        await expect.poll(() => precisionOf('webgpu:0'), STARTS).toBe(computed)
      }
    },
    90_000,
  )

  describe.skipIf(!swiftshader)(`on a GPU without half precision${swiftshader ? '' : ` (${NO_SWIFTSHADER})`}`, () => {
    /** Sandboxes have a directory of their own for sockets. */
    const driver = (): Record<string, string> => {
      const { VK_DRIVER_FILES = '', LD_LIBRARY_PATH = '' } = swiftshader?.environment ?? {}
      return { VK_DRIVER_FILES, LD_LIBRARY_PATH, SWIFTD_DEVICES: 'webgpu:0' }
    }

    it('is float32 where it is auto, and where that is set', async () => {
      sandbox = createSandbox(driver())
      for (const precision of ['auto', 'float32']) {
        await sandbox.run(['daemon', 'restart', '--precision', precision])
        await expect.poll(() => precisionOf('webgpu:0'), STARTS).toBe('float32')
      }
    }, 60_000)

    it('fails the device where half precision is asked for, and says what to set', async () => {
      sandbox = createSandbox({ ...driver(), SWIFTD_PRECISION: 'float16' })
      const { exitCode, stderr } = await sandbox.run(['generate', 'a star', '--steps', '1'])
      expect(exitCode).toBe(12)
      expect(stderr).toContain(
        'webgpu:0 cannot be used: it does not compute in half precision; set precision to auto or float32',
      )
    }, 60_000)
  })
})
