import { readdirSync, readFileSync } from 'node:fs'

/** A process of this machine. */
export interface ProcessEntry {
  readonly pid: number
  /** What its program's file is called; of a script, what that is called. */
  readonly name: string
}

/**
 * The processes that a process started, and those that they started, parents first, siblings in the order of their numbers.
 * Empty where the system has no /proc, as on macOS.
 */
export function descendantsOf(pid: number): ProcessEntry[] {
  const children = new Map<number, ProcessEntry[]>()
  for (const { parent, ...entry } of allProcesses()) children.set(parent, [...(children.get(parent) ?? []), entry])
  const found: ProcessEntry[] = []
  const visit = (parent: number): void => {
    for (const child of children.get(parent) ?? []) {
      found.push(child)
      visit(child.pid)
    }
  }
  visit(pid)
  return found
}

function allProcesses(): (ProcessEntry & { readonly parent: number })[] {
  return numbersIn('/proc').flatMap((pid) => {
    // proc_pid_stat(5): number, (name), state, number of the parent. A name may have brackets and blanks in it.
    const match = /^\d+ \((.*)\) \S (\d+)/s.exec(readText(`/proc/${pid}/stat`))
    return match ? [{ pid, name: match[1], parent: Number(match[2]) }] : []
  })
}

function numbersIn(directory: string): number[] {
  try {
    const names = readdirSync(directory).filter((name) => /^\d+$/.test(name))
    return names.map(Number).sort((a, b) => a - b)
  } catch {
    return []
  }
}

/** Empty for a process that ended meanwhile. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
