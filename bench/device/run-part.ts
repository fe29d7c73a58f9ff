import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { PartName, PartReport, PartResult, PartSettings } from './settings.js'

const PROGRAM = fileURLToPath(new URL('part-main.ts', import.meta.url))

/**
 * Measures a part in a process of its own, whose device is the first one of its provider: what crashes there leaves the
 * other parts, and memory that a part took is free again.
 * @param environment what the process has besides this one's, as `pinnedEnvironment` makes it
 * @throws Error with why it could not be measured
 */
export async function runPart(
  name: PartName,
  settings: PartSettings,
  environment: Readonly<Record<string, string>>,
): Promise<PartResult> {
  const loader = ['--import', import.meta.resolve('tsx')]
  const child = execa(process.execPath, [...loader, PROGRAM, name, JSON.stringify(settings)], {
    ipc: true,
    reject: false,
    env: environment,
    // Drivers print, too, and only figures belong on stdout.
    stdio: ['ignore', 2, 2],
  })
  const report = (await child.getOneMessage().catch(() => undefined)) as PartReport | undefined
  const { exitCode, signal } = await child
  if (report === undefined) throw new Error(`The process ended with ${signal ?? `exit code ${exitCode}`}.`)
  if ('failure' in report) throw new Error(report.failure)
  return report.result
}
