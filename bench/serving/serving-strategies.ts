import type { StrategyName } from '../simulator/strategies.js'
import type { AddonFields } from './driver.js'

/** Two CPU devices with one thread each: the smallest machine that has the roles. */
export const DEVICES = ['cpu:0', 'cpu:1'] as const

/** The daemon's default: a fifth of the steps may run without the LoRAs. */
export const LORA_BOUND = 0.2

/** What caches keep in a replayed trace; one slot more of a set of LoRAs is one more overlay. */
export interface CacheSlots {
  readonly controlNets: number
  readonly loraSets: number
}

/** How many devices a strategy may use: the first one alone has every role. */
export type DeviceCount = 1 | 2

/** How a strategy is asked for: by the daemon's environment, and by each request's fields. */
export interface ServingStrategy {
  readonly environment: Readonly<Record<string, string>>
  /** The base devices that work on jobs of their own. */
  readonly bases: readonly string[]
  /** Fields of a job on a base device with this many ControlNets. */
  readonly fields: (base: string, controlNets: number) => AddonFields
}

const [FIRST, SECOND] = DEVICES
const WITHOUT_CONTROLNET_CACHE = { SWIFTD_CONTROLNET_CACHE_MB: '0' }
const WITHOUT_LORA_CACHE = { SWIFTD_LORA_CACHE_MB: '0' }

/** Everything of a job on one device. */
function alone(base: string): AddonFields {
  return { placement: { baseDevice: base, controlNetDevices: [base] }, latentParallel: false }
}

const SERVICE: AddonFields = {
  placement: { baseDevice: FIRST, controlNetDevices: [SECOND] },
  latentParallel: false,
}
const HALVES: AddonFields = {
  placement: { baseDevice: FIRST, secondDevice: SECOND, controlNetDevices: [FIRST] },
  latentParallel: true,
}

/**
 * The strategies on two devices. What works on one device alone uses both for jobs of their own. All together cannot give
 * the second device both roles: it runs ControlNets for jobs that have some, else the second half of the guidance. A cache
 * belongs to the idea that brings it.
 */
const STRATEGIES: Readonly<Record<StrategyName, ServingStrategy>> = {
  serial: {
    environment: { ...WITHOUT_CONTROLNET_CACHE, ...WITHOUT_LORA_CACHE },
    bases: DEVICES,
    fields: (base) => ({ ...alone(base), loraBound: 0 }),
  },
  control: { environment: WITHOUT_LORA_CACHE, bases: [FIRST], fields: () => ({ ...SERVICE, loraBound: 0 }) },
  lora: {
    environment: WITHOUT_CONTROLNET_CACHE,
    bases: DEVICES,
    fields: (base) => ({ ...alone(base), loraBound: LORA_BOUND }),
  },
  halves: {
    environment: { ...WITHOUT_CONTROLNET_CACHE, ...WITHOUT_LORA_CACHE },
    bases: [FIRST],
    fields: () => ({ ...HALVES, loraBound: 0 }),
  },
  all: {
    environment: {},
    bases: [FIRST],
    fields: (_, controlNets) => ({ ...(controlNets > 0 ? SERVICE : HALVES), loraBound: LORA_BOUND }),
  },
}

export function servingStrategy(name: StrategyName, count: DeviceCount = 2): ServingStrategy {
  const { environment, ...rest } = STRATEGIES[name]
  const devices = DEVICES.map((device) => `${device}=1`).join(',')
  const served = count === 1 ? onOneDevice(rest) : rest
  return { ...served, environment: { SWIFTD_DEVICES: devices, ...environment } }
}

/** What is left of a strategy are its caches and its bound. */
function onOneDevice({ fields }: Pick<ServingStrategy, 'fields'>): Omit<ServingStrategy, 'environment'> {
  return {
    bases: [FIRST],
    fields: (base, controlNets) => ({ ...fields(base, controlNets), ...alone(FIRST) }),
  }
}
