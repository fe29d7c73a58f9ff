import { createSandbox } from '../../test/support/sandbox.js'
import { requireBuild, runOrThrow } from '../demo.js'
import { checkPlacement } from './check-placement.js'
import type { Driver } from './driver.js'
import { readMeasuredJob } from './measured-job.js'
import { readPrepared } from './prepared.js'

/** A daemon in a home of its own. */
export interface DaemonDriver extends Driver {
  dispose(): Promise<void>
}

/**
 * Starts the built program's daemon.
 * @param environment SWIFTD_DEVICES and whatever else it is to have
 */
export async function startDaemonDriver(environment: Readonly<Record<string, string>>): Promise<DaemonDriver> {
  requireBuild()
  const sandbox = createSandbox({ ...environment })
  try {
    await runOrThrow(sandbox, ['daemon', 'start'])
  } catch (error) {
    await sandbox.dispose()
    throw error
  }
  const client = sandbox.connect()
  return {
    async run(request) {
      const submittedMs = Date.now()
      const { id } = await client.submit(request)
      const job = await readMeasuredJob({ id, submittedMs }, client.events(id))
      checkPlacement(request, job)
      return job
    },
    preload: (request) => client.preload(request),
    prepared: () => readPrepared(sandbox.paths.logFile),
    dispose: () => sandbox.dispose(),
  }
}
