/** fail: swiftd does not work. warn: it works, but not as well as it could. */
export type CheckState = 'ok' | 'warn' | 'fail'

/** One thing that `doctor` looked at. */
export interface Check {
  readonly name: string
  readonly state: CheckState
  /** What was found, as a phrase. */
  readonly found: string
  /** What to do; of everything that is not ok. */
  readonly remedy?: string
}

export function ok(name: string, found: string): Check {
  return { name, state: 'ok', found }
}

export function warn(name: string, found: string, remedy: string): Check {
  return { name, state: 'warn', found, remedy }
}

export function fail(name: string, found: string, remedy: string): Check {
  return { name, state: 'fail', found, remedy }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
