import { startDaemonDriver, type DaemonDriver } from './daemon-driver.js'
import type { Driver, ServingRequest } from './driver.js'
import { createShapeDraw, servingRequest } from './serving-job.js'
import { createAddonFiles, type AddonFiles } from './addon-files.js'
import type { ServingModel } from './serving-model.js'
import { servingStrategy, type CacheSlots, type ServingStrategy } from './serving-strategies.js'
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
const WARM_UP = ['0C1L', '1C2L'] as const

const MIB = 2 ** 20

export interface ServingDaemonsOptions {
  /** What daemons are warmed up with. Graphs serve every size, so the smallest one that will be used will do. */
  readonly model: ServingModel
  /** Whether jobs will be on all base devices of a strategy, or on the first one only. */
  readonly bases: 'all' | 'first'
  /** What strategies with caches keep. @default the daemon's own budgets, which are more than is used */
  readonly slots?: CacheSlots
}

export function createServingDaemons({ model, bases, slots }: ServingDaemonsOptions): ServingDaemons {
  const files = createAddonFiles(model.addons)
  const warmUpFiles = createAddonFiles(model.addons)
  const daemons = new Map<string, Promise<DaemonDriver>>()
  const warm = new Map<StrategyName, Promise<Driver>>()

  async function launch({ environment }: ServingStrategy): Promise<DaemonDriver> {
    const caches = 'SWIFTD_CONTROLNET_CACHE_MB' in environment && 'SWIFTD_LORA_CACHE_MB' in environment
    const budgets = slots && !caches ? await budgetsOf(slots, model, warmUpFiles, await driver('serial')) : {}
    return startDaemonDriver({ ...budgets, ...environment })
  }

  async function start(name: StrategyName): Promise<Driver> {
    const strategy = servingStrategy(name)
    const key = JSON.stringify(strategy.environment)
    const daemon = daemons.get(key) ?? launch(strategy)
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

  function driver(name: StrategyName): Promise<Driver> {
    const started = warm.get(name) ?? start(name)
    warm.set(name, started)
    return started
  }

  return {
    files,
    driver,
    async dispose() {
      const started = await Promise.allSettled([...daemons.values()])
      await Promise.all(started.flatMap((each) => (each.status === 'fulfilled' ? [each.value.dispose()] : [])))
      files.remove()
      warmUpFiles.remove()
    },
  }
}

/** The daemon's settings by which caches have these slots, from what a ControlNet and an overlay take. */
async function budgetsOf(
  { controlNets, loraSets }: CacheSlots,
  { request }: ServingModel,
  files: AddonFiles,
  driver: Driver,
): Promise<Record<string, string>> {
  const [network] = await driver.preload({ kind: 'controlnet', names: [files.controlNet(0)], model: request.model })
  const names = [files.lora(0), files.lora(1)]
  const [overlay] = await driver.preload({ kind: 'lora', names, model: request.model, together: true })
  // Half a slot more: an overlay may be a little larger than another.
  return {
    SWIFTD_CONTROLNET_CACHE_MB: String(((controlNets + 0.5) * network.bytes) / MIB),
    SWIFTD_LORA_CACHE_MB: String(((loraSets + 0.5) * overlay.bytes) / MIB),
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
