import { startDaemonDriver, type DaemonDriver } from './daemon-driver.js'
import type { Driver, ServingRequest } from './driver.js'
import { createShapeDraw, servingRequest } from './serving-job.js'
import { createAddonFiles, type AddonFiles } from './addon-files.js'
import type { ServingModel } from './serving-model.js'
import { servingStrategy, type ServingStrategy } from './serving-strategies.js'
import type { StrategyName } from '../simulator/strategies.js'

/** Daemons that serve one model by different strategies; strategies with the same environment share one. */
export interface ServingDaemons {
  readonly files: AddonFiles
  /** Runs a request by a strategy's daemon, which the first one starts and warms up. */
  driver(name: StrategyName): Promise<Driver>
  /** Ends the daemons and removes the links. */
  dispose(): Promise<void>
}

/** Jobs that warm a daemon up: they compile every graph and map every weight that jobs use. */
const WARM_UP = ['0C0L', '1C1L'] as const

export interface ServingDaemonsOptions {
  /** What daemons are warmed up with. Graphs serve every size, so the smallest one that will be used will do. */
  readonly model: ServingModel
  /** Whether jobs will be on all base devices of a strategy, or on the first one only. */
  readonly bases: 'all' | 'first'
}

export function createServingDaemons({ model, bases }: ServingDaemonsOptions): ServingDaemons {
  const files = createAddonFiles(model.addons)
  const warmUpFiles = createAddonFiles(model.addons)
  const daemons = new Map<string, Promise<DaemonDriver>>()
  const warm = new Map<StrategyName, Promise<Driver>>()

  async function start(name: StrategyName): Promise<Driver> {
    const strategy = servingStrategy(name)
    const key = JSON.stringify(strategy.environment)
    const daemon = daemons.get(key) ?? startDaemonDriver(strategy.environment)
    daemons.set(key, daemon)
    const driver = await daemon
    const used = bases === 'all' ? strategy.bases : strategy.bases.slice(0, 1)
    // LoRAs are others than the measured ones, ControlNets the same.
    const warmUp = { ...warmUpFiles, controlNet: files.controlNet }
    for (const base of used) {
      for (const request of warmUpRequests(model, warmUp, strategy, base)) await driver.run(request)
    }
    return driver
  }

  return {
    files,
    driver(name) {
      const driver = warm.get(name) ?? start(name)
      warm.set(name, driver)
      return driver
    },
    async dispose() {
      const started = await Promise.allSettled([...daemons.values()])
      await Promise.all(started.flatMap((each) => (each.status === 'fulfilled' ? [each.value.dispose()] : [])))
      files.remove()
      warmUpFiles.remove()
    },
  }
}

/** Two steps of each kind of job. */
function warmUpRequests(
  model: ServingModel,
  files: AddonFiles,
  strategy: ServingStrategy,
  base: string,
): ServingRequest[] {
  const draw = createShapeDraw()
  return WARM_UP.map((shape) => ({
    ...servingRequest(model, files, strategy, draw(shape), base),
    numInferenceSteps: 2,
  }))
}
