import type { DaemonClient } from '../../src/daemon/client/client.js'
import { createSandbox } from '../../test/support/sandbox.js'
import { requireBuild, runOrThrow } from '../demo.js'
import type { Driver } from './driver.js'
import { readMeasuredJob } from './measured-job.js'

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
  return { ...createDriver(client), dispose: () => sandbox.dispose() }
}

/** Runs jobs by a client's daemon. */
export function createDriver(client: DaemonClient): Driver {
  return {
    async run(request) {
      const submittedMs = Date.now()
      const { id } = await client.submit(request)
      return readMeasuredJob(submittedMs, client.events(id))
    },
  }
}
