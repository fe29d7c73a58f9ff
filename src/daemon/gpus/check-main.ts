import { proveDevice } from '../../engine/networks/device-proof.js'
import { openEnvironment } from '../../engine/ort/environment.js'
import type { ProviderName } from '../../engine/provider-name.js'
import type { DeviceCheck } from './check.js'
import { explainDeviceFailure } from './reasons.js'

/**
 * The program of a check's child process: opens a provider's device 0, computes on it, and prints what came of it as one line
 * of JSON. Arguments: the provider and the host's threads.
 */
const [provider, threads] = process.argv.slice(2) as [ProviderName, string]

async function check(): Promise<DeviceCheck> {
  try {
    const environment = openEnvironment({ threads: Number(threads), provider })
    return { usable: true, milliseconds: await proveDevice(environment) }
  } catch (error) {
    return { usable: false, ...explainDeviceFailure(provider, error instanceof Error ? error.message : String(error)) }
  }
}

// Exits without releasing: a driver that hangs in its clean-up has computed all the same.
process.stdout.write(`${JSON.stringify(await check())}\n`, () => process.exit(0))
