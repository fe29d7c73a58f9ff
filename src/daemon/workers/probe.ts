/** What probe-main.ts prints. */
export interface Probe {
  readonly runtime: ProbeResult<{ readonly version: string; readonly providers: readonly string[] }>
  /** True if anonymous shared memory works, false where the system has none. */
  readonly anonymousMemory: ProbeResult<boolean>
}

export type ProbeResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string }
