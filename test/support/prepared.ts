import { readFileSync } from 'node:fs'
import type { Job } from '../../src/daemon/protocol/job.js'
import type { Prepared } from '../../src/daemon/workers/job-crew.js'
import type { Sandbox } from './sandbox.js'

/** What the workers prepared for a job, as the daemon's log tells. */
export function preparedFor({ paths }: Pick<Sandbox, 'paths'>, job: Pick<Job, 'id'>): Prepared[] {
  const lines = readFileSync(paths.logFile, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'))
  const records = lines.map((line) => JSON.parse(line) as { job?: string; prepared?: Prepared })
  return records.flatMap((record) => (record.job === job.id && record.prepared ? [record.prepared] : []))
}
