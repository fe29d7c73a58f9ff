import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface ChildOptions {
  readonly args?: readonly string[]
  readonly environment?: NodeJS.ProcessEnv
  /** How long it may take; then it is killed. */
  readonly deadlineMs: number
}

/**
 * Runs a program of swiftd in a child process, which may crash without harm, and reads what it prints last as JSON.
 * @param program without its ending: compiled in dist/, TypeScript in src/
 * @throws Error with how it ended, if that was not with exit code 0
 */
export function runChild(program: URL, { args = [], environment, deadlineMs }: ChildOptions): Promise<unknown> {
  const source = import.meta.url.endsWith('.ts')
  const path = `${fileURLToPath(program)}.${source ? 'ts' : 'js'}`
  const loader = source ? ['--import', import.meta.resolve('tsx')] : []
  const child = spawn(process.execPath, [...loader, path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: deadlineMs,
    killSignal: 'SIGKILL',
    ...(environment && { env: environment }),
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      // Drivers may print lines of their own.
      if (code === 0) return resolve(JSON.parse(lastLine(output)))
      const end = child.killed && signal === 'SIGKILL' ? `no answer within ${deadlineMs / 1000} s` : undefined
      const how = end ?? `the child process ended with ${signal ?? `exit code ${code}`}`
      reject(new Error(`${how}. ${lastLine(errors)}`.trim()))
    })
  })
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
