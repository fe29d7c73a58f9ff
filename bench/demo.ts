import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createSandbox, type Sandbox } from '../test/support/sandbox.js'

/** The demo model at its own size: a step of it is so short that everything around the runtime shows. */
export const DEMO = {
  path: join(import.meta.dirname, '../fixtures/models/tiny-shapes-xl'),
  prompt: 'a large red star on a blue background',
  size: 128,
  steps: 20,
  guidanceScale: 5,
  seed: 7,
} as const

const COMPILED = join(import.meta.dirname, '../dist/daemon/main.js')

/** @throws Error if there is no built program to measure */
export function requireBuild(): void {
  if (!existsSync(COMPILED)) throw new Error('The program is not built; run "npm run build" first.')
}

/** Runs with the built program in a home of its own, whose daemon has the default device: all cores. */
export async function withSandbox<T>(
  task: (sandbox: Sandbox) => Promise<T>,
  env: Readonly<Record<string, string>> = {},
): Promise<T> {
  requireBuild()
  const sandbox = createSandbox({ SWIFTD_DEVICES: '', ...env })
  try {
    return await task(sandbox)
  } finally {
    await sandbox.dispose()
  }
}

/** Runs `swiftd ...args` and gives what it printed; throws with its stderr if it fails. */
export async function runOrThrow(sandbox: Sandbox, args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await sandbox.run(args)
  if (exitCode !== 0) throw new Error(`swiftd ${args.join(' ')} exited with code ${exitCode}: ${stderr}`)
  return stdout
}
