import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** A copy of the package that was never built. */
let root: string

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'swiftd-dev-'))
  for (const part of ['bin', 'src', 'package.json', 'tsconfig.json'])
    cpSync(part, join(root, part), { recursive: true })
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'))
})
afterAll(() => rmSync(root, { recursive: true }))

describe('bin/dev.js', () => {
  it('runs the commands from their TypeScript, without a build', async () => {
    const env = { PATH: process.env.PATH, HOME: root, XDG_RUNTIME_DIR: root }
    const run = (...args: string[]) =>
      execa(join(root, 'bin/dev.js'), args, { cwd: root, env, extendEnv: false, reject: false })
    expect(existsSync(join(root, 'dist'))).toBe(false)
    const help = await run('generate', '--help')
    expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('--guidance-scale') as string })
    // No daemon runs: 3, by the same table as in the built program.
    expect((await run('daemon', 'status')).exitCode).toBe(3)
  })
})
