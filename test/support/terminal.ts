import { spawn } from '@lydell/node-pty'
import { setTimeout as sleep } from 'node:timers/promises'
import xterm from '@xterm/headless'
import type { Sandbox } from './sandbox.js'

/** A program in a terminal, as a person has it before them: what is typed goes in, the screen can be read. */
export interface TerminalSession {
  /** The lines of the screen as they are now, without trailing spaces and empty lines at the end. */
  screen(): string[]
  /** Whatever the program wrote, with its escape sequences. */
  readonly output: string
  type(keys: string): void
  resize(columns: number, rows: number): void
  /** Settles when the program has ended. */
  readonly exit: Promise<{ readonly exitCode: number; readonly signal?: number }>
  /** Calls `onChange` with each change of the screen, and the time since the start. */
  watch(onChange: (milliseconds: number) => void): void
  readonly terminal: xterm.Terminal
  kill(): void
}

export interface TerminalOptions {
  readonly columns?: number
  readonly rows?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Output that is not there after this long does not come any more. */
const QUIET_MS = 100

export const CTRL_C = '\x03'

/** Starts a program in a pseudo-terminal whose screen xterm keeps. */
export function openTerminal(
  [program, ...args]: readonly string[],
  { directory, env }: Pick<Sandbox, 'directory' | 'env'>,
  { columns = 80, rows = 24, env: more = {} }: TerminalOptions = {},
): TerminalSession {
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 1000 })
  const began = performance.now()
  const watchers: ((milliseconds: number) => void)[] = []
  let output = ''
  const child = spawn(program, [...args], {
    ...{ name: 'xterm-256color', cols: columns, rows, cwd: directory },
    env: { TERM: 'xterm-256color', COLORTERM: 'truecolor', ...env, ...more },
  })
  child.onData((data) => {
    output += data
    terminal.write(data, () => watchers.forEach((watcher) => watcher(performance.now() - began)))
  })
  // What the terminal answers, such as to the question where its cursor is.
  terminal.onData((data) => child.write(data))
  const ended = new Promise<{ exitCode: number; signal?: number }>((resolve) => child.onExit(resolve))
  const exit = ended.then(async (end) => {
    // The end of a process may be told before the last of its output.
    for (let length = -1; length !== output.length; await sleep(QUIET_MS)) length = output.length
    await new Promise<void>((resolve) => terminal.write('', resolve))
    return end
  })
  return {
    terminal,
    get output() {
      return output
    },
    screen() {
      const { active } = terminal.buffer
      const lines = Array.from(
        { length: active.length },
        (_, y) => active.getLine(y)?.translateToString(true).trimEnd() ?? '',
      )
      while (lines.at(-1) === '') lines.pop()
      return lines
    },
    type: (keys) => child.write(keys),
    resize(newColumns, newRows) {
      terminal.resize(newColumns, newRows)
      child.resize(newColumns, newRows)
    },
    exit,
    watch: (onChange) => void watchers.push(onChange),
    kill: () => child.kill('SIGKILL'),
  }
}
