import { createClient } from '../../../daemon/client/client.js'
import { isNotRunning } from '../../../daemon/client/transport.js'
import { ensureRuntimeDirectory, type DaemonPaths } from '../../../daemon/paths.js'
import { PROTOCOL_VERSION, SWIFTD_VERSION } from '../../../daemon/protocol/version.js'
import { readSettings, settingsPath } from '../settings-file.js'
import { resolveSetting } from '../setting-values.js'
import { SETTING_KEYS } from '../settings.js'
import { fail, ok, reasonOf, warn, type Check } from './check.js'

/** The directory of the socket: whose it is, who may enter, and whether the path is short enough. */
export function checkSocketDirectory(paths: DaemonPaths): Check {
  try {
    ensureRuntimeDirectory(paths)
    return ok('socket', `${paths.socket}, in a directory for this user alone`)
  } catch (error) {
    const [found, remedy = 'set XDG_RUNTIME_DIR'] = reasonOf(error).replace(/\.$/, '').split('; ')
    return fail('socket', found, remedy)
  }
}

/** The configuration file and the SWIFTD_ variables. */
export function checkSettings(): Check {
  try {
    const file = readSettings()
    for (const key of SETTING_KEYS) resolveSetting(key, process.env, file)
    return ok('settings', Object.keys(file).length === 0 ? 'all at their defaults' : settingsPath())
  } catch (error) {
    const [found, ...remedy] = reasonOf(error).replace(/\.$/, '').split('; ')
    return fail('settings', found, remedy.join('; ') || 'correct it')
  }
}

/** Whether the daemon runs, and is this program's. */
export async function checkDaemon({ socket }: DaemonPaths): Promise<Check> {
  const client = createClient(socket)
  try {
    const { version, protocolVersion, pid, devices } = await client.status()
    const found = `runs (pid ${pid}, swiftd ${version})`
    if (protocolVersion !== PROTOCOL_VERSION) {
      return fail('daemon', `${found}, but this is swiftd ${SWIFTD_VERSION}`, 'run "swiftd daemon restart"')
    }
    const broken = devices.find(({ state }) => state === 'failed')
    if (broken) {
      const remedy = 'see "swiftd daemon logs", then run "swiftd daemon restart"'
      return fail('daemon', `${found}, but ${broken.name} failed: ${broken.reason}`, remedy)
    }
    return version === SWIFTD_VERSION
      ? ok('daemon', found)
      : warn('daemon', `${found}, but this is swiftd ${SWIFTD_VERSION}`, 'run "swiftd daemon restart"')
  } catch (error) {
    if (isNotRunning(error)) return ok('daemon', 'does not run; the next command that needs it starts it')
    return fail('daemon', reasonOf(error), 'see "swiftd daemon logs"')
  } finally {
    await client.close()
  }
}
