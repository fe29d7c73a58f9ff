import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { descendantsOf } from './process-tree.js'

export interface ChildOptions {
  readonly args?: readonly string[]
  readonly environment?: NodeJS.ProcessEnv
  /** How long it may take; then it is killed, with what it started. */
  readonly deadlineMs: number
}

/**
 * Runs a program of swiftd in a child process, which may crash or hang without harm, and reads what it prints last as JSON.
 * @param program without its ending: compiled in dist/, TypeScript in src/
 * @throws Error with how it ended, if that was not with exit code 0; of one that took too long, with the command that it
 * waited for, where the system tells that
 */
export function runChild(program: URL, { args = [], environment, deadlineMs }: ChildOptions): Promise<unknown> {
  const source = import.meta.url.endsWith('.ts')
  const path = `${fileURLToPath(program)}.${source ? 'ts' : 'js'}`
  const loader = source ? ['--import', import.meta.resolve('tsx')] : []
  const child = spawn(process.execPath, [...loader, path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(environment && { env: environment }),
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const hanging = abandon(child)
      reject(new Error(`${hanging === undefined ? '' : `${hanging} gave `}no answer within ${deadlineMs / 1000} s`))
    }, deadlineMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      // Drivers may print lines of their own.
      if (code === 0) return resolve(JSON.parse(lastLine(output)))
      const how = `the child process ended with ${signal ?? `exit code ${code}`}`
      reject(new Error(`${how}. ${lastLine(errors)}`.trim()))
    })
  })
}

/** What only starts other programs. */
const SHELLS = new Set(['sh', 'bash', 'dash', 'ash', 'node', 'MainThread'])

/**
 * Kills a child and what it started, and waits for none of them: a command that hangs in its driver does not even die.
 * @returns the command that the child waited for, if there was one
 */
function abandon(child: ChildProcess): string | undefined {
  const started = child.pid === undefined ? [] : descendantsOf(child.pid)
  // The child first, or it would go on to its next command.
  child.kill('SIGKILL')
  for (const { pid } of started) kill(pid)
  child.stdout?.destroy()
  child.stderr?.destroy()
  child.unref()
  return started.find(({ name }) => !SHELLS.has(name))?.name
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended meanwhile, or is not ours.
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
