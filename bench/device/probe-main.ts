import { probeTarget } from '../../src/engine/networks/probe-target.js'
import { openEnvironment } from '../../src/engine/ort/environment.js'
import type { ProviderName } from '../../src/engine/provider-name.js'

/** Finds out what graphs are built for on a provider's device 0, and prints it as JSON. Arguments: the provider and the host's threads. */
const [provider, threads] = process.argv.slice(2) as [ProviderName, string]
const target = await probeTarget(openEnvironment({ threads: Number(threads), provider }))
// Exits without releasing: a driver that hangs in its clean-up has computed all the same.
process.stdout.write(`${JSON.stringify(target)}\n`, () => process.exit(0))
