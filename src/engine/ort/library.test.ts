import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'

/** Opens the runtime the way a worker does, and gives it time to write what it would. */
const program = `
  const { openEnvironment } = await import(${JSON.stringify(new URL('./environment.ts', import.meta.url).href)})
  const { openSession } = await import(${JSON.stringify(new URL('./session.ts', import.meta.url).href)})
  const { buildPatch } = await import(${JSON.stringify(new URL('../graph/patch.ts', import.meta.url).href)})
  const environment = openEnvironment({ threads: 1 })
  const session = await openSession(environment, buildPatch(['float32']).model)
  session.release()
  environment.release()
`

describe('the runtime library', () => {
  it('reports nothing to its makers: it leaves no files in the home folder', async () => {
    const home = mkdtempSync(join(tmpdir(), 'swiftd-telemetry-'))
    try {
      const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', program]
      // Under CI the runtime keeps still by itself.
      const env = { PATH: process.env.PATH, HOME: home }
      await execa(process.execPath, args, { env, extendEnv: false })
      expect(
        readdirSync(home, { recursive: true })
          .map(String)
          .filter((file) => /microsoft|onnx/i.test(file)),
      ).toEqual([])
    } finally {
      rmSync(home, { recursive: true })
    }
  })
})
