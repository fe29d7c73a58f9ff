import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateResult } from '../src/commands/generate.js'
import { parseInfotext } from '../src/engine/image/infotext.js'
import { decodeImage, readPngText } from '../src/engine/image/png.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

const PROMPT = 'a large red star on a blue background'
let sandbox: Sandbox

beforeAll(() => {
  sandbox = createSandbox()
})
afterAll(() => sandbox.dispose())

const fileOf = (name: string): string => join(sandbox.directory, name)

describe('generate', () => {
  it('starts the daemon, draws the picture and prints its path', async () => {
    const { exitCode, stdout, stderr } = await sandbox.run(['generate', PROMPT, '--seed', '7', '-o', 'star.png'])
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: fileOf('star.png') })
    expect(stderr).toMatch(/^Starting the daemon\n(Step \d+\/20 .*\n?)+$/)

    const { width, height, data } = await decodeImage(readFileSync(fileOf('star.png')))
    expect([width, height]).toEqual([128, 128])
    const pixel = (x: number, y: number): Uint8Array => data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)
    const [red, , blueInRed] = pixel(64, 68)
    expect(red).toBeGreaterThan(2 * blueInRed)
    for (const [x, y] of [...[[8, 8] as const, [120, 8] as const], ...[[8, 120] as const, [120, 120] as const]]) {
      const [redInBlue, , blue] = pixel(x, y)
      expect(blue).toBeGreaterThan(1.5 * redInBlue)
    }
  })

  it('writes into the picture what makes it again', async () => {
    await sandbox.run(['generate', PROMPT, '--seed', '7', '-o', 'meta.png', '--negative-prompt', 'green', '-q'])
    const text = readPngText(readFileSync(fileOf('meta.png'))).parameters
    expect(parseInfotext(text)).toMatchObject({
      ...{ prompt: PROMPT, negativePrompt: 'green', steps: 20, sampler: 'Euler', cfgScale: 5, seed: 7 },
      ...{ width: 128, height: 128, model: 'demo', rng: 'CPU' },
      modelHash: expect.stringMatching(/^[0-9a-f]{10}$/) as string,
      version: expect.stringMatching(/^swiftd v\d/) as string,
    })
  })

  it('draws the same picture for the same seed and another for another', async () => {
    const draw = (name: string, seed: string) => sandbox.run(['generate', PROMPT, '--seed', seed, '-o', name, '-q'])
    await draw('a.png', '7')
    await draw('b.png', '7')
    await draw('c.png', '8')
    const [a, b, c] = ['a.png', 'b.png', 'c.png'].map((name) => readFileSync(fileOf(name)))
    expect(a.equals(b)).toBe(true)
    expect(a.equals(c)).toBe(false)
  })

  it('reports the random seed that it took, in the file name, too, and replaces no file', async () => {
    const args = ['generate', PROMPT, '--steps', '2', '--json', '--quiet']
    const first = await sandbox.run(args)
    const result = JSON.parse(first.stdout) as GenerateResult
    const path = fileOf(`swiftd-${result.seed}.png`)
    expect(first.stderr).toBe('')
    expect(result).toMatchObject({ model: 'demo', images: [{ index: 0, seed: result.seed, path, width: 128 }] })
    expect(Object.keys(result.timings).sort()).toEqual(['generateMs', 'loadMs', 'queuedMs', 'runtimeMs'])

    const again = await sandbox.run([...args, '--seed', String(result.seed)])
    const other = (JSON.parse(again.stdout) as GenerateResult).images[0].path
    expect(other).toBe(fileOf(`swiftd-${result.seed}-1.png`))
    expect(readFileSync(other).equals(readFileSync(path))).toBe(true)
  })

  it('writes only the bytes to stdout with -o -', async () => {
    const program = [join(process.cwd(), 'bin/run.js'), 'generate', PROMPT, '--seed', '7', '-o', '-']
    const { cwd, env } = { cwd: sandbox.directory, env: sandbox.env }
    const { stdout } = await execa(process.execPath, program, { cwd, env, extendEnv: false, encoding: 'buffer' })
    expect(Buffer.from(stdout).equals(readFileSync(fileOf('star.png')))).toBe(true)
  })

  it('takes flags from the environment, and lets the command line win', async () => {
    const env = { SWIFTD_STEPS: '2', SWIFTD_SEED: '3', SWIFTD_WIDTH: '64', SWIFTD_SCHEDULER: 'euler_a' }
    await sandbox.run(['generate', PROMPT, '-o', 'env.png', '--seed', '4', '-q'], { env })
    const text = readPngText(readFileSync(fileOf('env.png'))).parameters
    expect(parseInfotext(text)).toMatchObject({ steps: 2, seed: 4, width: 64, height: 128, sampler: 'Euler a' })
  })

  it('warns when the end of a prompt is not read', async () => {
    const long = `${PROMPT}, `.repeat(20)
    const { exitCode, stderr } = await sandbox.run(['generate', long, '--steps', '1', '-o', 'long.png'])
    expect(exitCode).toBe(0)
    expect(stderr).toMatch(/^Note: /)
  })

  it('cancels the job when the time is up', async () => {
    const { exitCode, stderr } = await sandbox.run([
      ...['generate', PROMPT, '--steps', '900', '--timeout', '0.5', '-o', 'late.png', '-q'],
    ])
    expect(exitCode).toBe(124)
    expect(stderr).toMatch(/^Error: The image was not ready within 0.5 s/)
    expect(existsSync(fileOf('late.png'))).toBe(false)
    const jobs = await sandbox.connect().jobs()
    expect(jobs.at(-1)?.state).toBe('cancelled')
  })

  it('leaves no temporary files behind', () => {
    expect(readdirSync(sandbox.directory).filter((name) => !name.endsWith('.png') || name.startsWith('.'))).toEqual([])
  })
})
