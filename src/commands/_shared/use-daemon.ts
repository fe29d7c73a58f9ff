import { createClient, type DaemonClient } from '../../daemon/client/client.js'
import { daemonPaths } from '../../daemon/paths.js'

/** Uses a client of the running daemon and closes it. Nothing is started: DAEMON_UNREACHABLE if none runs. */
export async function useDaemon<T>(use: (client: DaemonClient) => Promise<T>): Promise<T> {
  const client = createClient(daemonPaths().socket)
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}
