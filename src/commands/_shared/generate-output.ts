import type { JobEvent } from '../../daemon/protocol/event.js'
import { toWireError } from '../../daemon/protocol/error.js'
import type { Job } from '../../daemon/protocol/job.js'
import type { GenerateResult } from './generate-result.js'

/** What goes to stdout: paths or ids, one document at the end, a line of JSON for each event, or an image's bytes. */
export type OutputMode = 'text' | 'json' | 'jsonl' | 'bytes'

/** Writes what scripts read, as it comes. */
export interface GenerateOutput {
  readonly mode: OutputMode
  /** @param of the job, where there are several */
  event(event: JobEvent, of?: JobOfLine): void
  submitted(job: Job): void
  result(result: GenerateResult, line?: number): void
  /** Of one line; what fails as a whole is reported by the command. */
  failure(error: unknown, line: number): void
  /** Writes what was held back. */
  release(): void
}

export interface JobOfLine {
  readonly line: number
  readonly jobId: string
}

interface OutputOptions {
  readonly mode: OutputMode
  /** A live view is on stderr: what else goes to that terminal would be drawn over, and has to wait. */
  readonly live: boolean
}

export function createOutput({ mode, live }: OutputOptions): GenerateOutput {
  const held: (() => void)[] = []
  const write = (stream: NodeJS.WriteStream, text: string): void => {
    const now = (): void => void stream.write(text)
    if (live && stream.isTTY) held.push(now)
    else now()
  }
  const lines = (values: readonly string[]): void => write(process.stdout, values.map((value) => `${value}\n`).join(''))
  return {
    mode,
    event(event, of) {
      if (mode === 'jsonl') writeJsonLine({ ...of, ...event })
    },
    submitted({ id }) {
      if (mode === 'text') lines([id])
    },
    result(result, line) {
      if (mode === 'text') lines(result.images.map(({ path }) => path))
      if (mode === 'jsonl') writeJsonLine({ type: 'result', ...(line !== undefined && { line }), ...result })
    },
    failure(error, line) {
      const failure = toWireError(error)
      if (mode === 'jsonl') writeJsonLine({ type: 'error', line, error: failure })
      else if (mode !== 'json') write(process.stderr, `Error: Line ${line}: ${failure.message}\n`)
    },
    release() {
      for (const now of held.splice(0)) now()
    },
  }
}

/** One JSON document on a line of stdout. */
export function writeJsonLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
