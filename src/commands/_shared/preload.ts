import { startDaemon } from '../../daemon/client/autostart.js'
import { createClient } from '../../daemon/client/client.js'
import { isNotRunning } from '../../daemon/client/transport.js'
import { daemonPaths } from '../../daemon/paths.js'
import { formatBytes } from '../../daemon/models/format.js'
import type { Preloaded, PreloadRequest } from '../../daemon/protocol/preload.js'
import { daemonOptions } from './daemon-options.js'

/** Asks the daemon to make something ready; where none runs, one is started. */
export async function preloadOnDaemon(request: PreloadRequest): Promise<Preloaded[]> {
  const paths = daemonPaths()
  const client = createClient(paths.socket)
  try {
    return await client.preload(request)
  } catch (error) {
    if (!isNotRunning(error)) throw error
    await startDaemon(paths, daemonOptions(undefined))
    return await client.preload(request)
  } finally {
    await client.close()
  }
}

/** One line for each thing that is ready. */
export function preloadedLines(preloaded: readonly Preloaded[]): string[] {
  return preloaded.map(({ name, device, cached, bytes, elapsedMs }) => {
    const where = device === undefined ? 'read and checked' : `ready on ${device}`
    const how = cached ? 'as before' : `in ${(elapsedMs / 1000).toFixed(2)} s`
    return `${name}: ${where} ${how}, ${formatBytes(bytes)}`
  })
}
