/**
 * The program of a part's process: measures it and sends what came of it over its IPC channel. Arguments: the part's name and
 * its settings as JSON.
 */
import { isSwiftdError } from '../../src/engine/errors.js'
import { measureControlNets } from './controlnets.js'
import { measureLoading } from './loading.js'
import { measureLoras } from './loras.js'
import { measureMemory } from './memory.js'
import type { PartName, PartReport, PartResult, PartSettings } from './settings.js'
import { measureSteps } from './steps.js'

const PARTS: Readonly<Record<PartName, (settings: PartSettings) => Promise<PartResult>>> = {
  steps: measureSteps,
  loading: measureLoading,
  loras: measureLoras,
  controlnets: measureControlNets,
  memory: measureMemory,
}

const [name, settings] = process.argv.slice(2) as [PartName, string]

async function report(): Promise<PartReport> {
  try {
    return { result: await PARTS[name](JSON.parse(settings) as PartSettings) }
  } catch (error) {
    if (!isSwiftdError(error)) console.error(error)
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

// Exits without releasing: a driver that hangs in its clean-up has computed all the same.
process.send?.(await report(), () => process.exit(0))
