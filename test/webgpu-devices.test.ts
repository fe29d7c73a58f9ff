import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevicesResult } from '../src/commands/devices.js'
import { checkDevice } from '../src/daemon/gpus/check.js'
import type { JobEvent } from '../src/daemon/protocol/event.js'
import { parseDevices } from '../src/daemon/workers/devices.js'
import { signalWorker } from './support/cluster.js'
import { createSandbox } from './support/sandbox.js'
import { findSwiftshader, NO_SWIFTSHADER } from './support/swiftshader.js'

const [WEBGPU] = parseDevices(['webgpu:0'])
const NO_DRIVER = { VK_DRIVER_FILES: '/no/driver.json' }
const REASON = 'no Vulkan driver offers a device'
const swiftshader = findSwiftshader()

describe.runIf(process.platform === 'linux')('WebGPU without a driver', () => {
  it('is told to be that', async () => {
    const check = await checkDevice(WEBGPU, { environment: { ...process.env, ...NO_DRIVER } })
    expect(check).toMatchObject({ usable: false, reason: REASON })
  })

  it('fails its device with the reason, and a CPU stands in for it', async () => {
    const sandbox = createSandbox({ ...NO_DRIVER, SWIFTD_DEVICES: 'webgpu:0,cpu:0=1' })
    try {
      const drawn = await sandbox.run(['generate', 'a star', '--steps', '1', '--json'])
      expect(drawn).toMatchObject({ exitCode: 0 })
      const { devices } = await sandbox.connect().status()
      expect(devices[0]).toMatchObject({ name: 'webgpu:0', state: 'failed' })
      expect(devices[0].reason).toContain(`webgpu:0 cannot be used: ${REASON}; install`)
      const asked = await sandbox.run(['generate', 'a star', '--base-device', 'webgpu:0'])
      expect(asked).toMatchObject({ exitCode: 12 })
      expect(asked.stderr).toContain(`webgpu:0 cannot be used: ${REASON}`)
    } finally {
      await sandbox.dispose()
    }
  })
})

describe.skipIf(!swiftshader)(`WebGPU on a driver in software${swiftshader ? '' : ` (${NO_SWIFTSHADER})`}`, () => {
  let directory: string
  let driver: string
  let environment: Record<string, string>
  beforeAll(() => {
    if (!swiftshader) return
    directory = mkdtempSync(join(tmpdir(), 'swiftd-driver-'))
    driver = join(directory, 'driver.json')
    const described = readFileSync(swiftshader.environment.VK_DRIVER_FILES, 'utf8')
    writeFileSync(
      driver,
      described.replace(/"library_path": "[^"]*?([^"/]+)"/, `"library_path": "${swiftshader.directory}/$1"`),
    )
    environment = { VK_DRIVER_FILES: driver, LD_LIBRARY_PATH: swiftshader.environment.LD_LIBRARY_PATH }
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it('is proven by a check, and listed', async () => {
    const check = await checkDevice(WEBGPU, { environment: { ...process.env, ...environment } })
    expect(check).toMatchObject({ usable: true })
    const sandbox = createSandbox(environment)
    try {
      const { stdout } = await sandbox.run(['devices', '--check', '--json'])
      const { machine = [] } = JSON.parse(stdout) as DevicesResult
      expect(machine.find(({ name }) => name === 'webgpu:0')).toMatchObject({ provider: 'webgpu', usable: true })
    } finally {
      await sandbox.dispose()
    }
  })

  it('names itself in the failure of a job when it vanishes', async () => {
    const sandbox = createSandbox({ ...environment, SWIFTD_DEVICES: 'webgpu:0' })
    try {
      expect(await sandbox.run(['daemon', 'start'])).toMatchObject({ exitCode: 0 })
      const client = sandbox.connect()
      const request = { prompt: 'a star', width: 64, height: 64, numInferenceSteps: 30, guidanceScale: 1 }
      const { id } = await client.submit(request)
      let last: JobEvent | undefined
      for await (const event of client.events(id)) {
        // The prompt was encoded on it, and the first step has begun.
        if (event.type === 'phase' && event.phase === 'denoising') {
          rmSync(driver)
          await signalWorker(client, 'webgpu:0', 'SIGKILL')
        }
        last = event
      }
      expect(last).toMatchObject({ type: 'failed', error: { code: 'WORKER_LOST' } })
      expect(last?.type === 'failed' && last.error.message).toContain(`webgpu:0 cannot be used: ${REASON}`)
    } finally {
      await sandbox.dispose()
    }
  }, 180_000)
})
