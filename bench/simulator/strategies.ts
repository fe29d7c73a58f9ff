import type { CacheLimit } from './cache.js'
import type { Strategy } from './model.js'

/** Everything serial in one worker without caches, each idea alone, and all together. */
export const STRATEGY_NAMES = ['serial', 'control', 'lora', 'halves', 'all'] as const
export type StrategyName = (typeof STRATEGY_NAMES)[number]

/** What people read. */
export const STRATEGY_TITLES: Readonly<Record<StrategyName, string>> = {
  serial: 'everything serial in one worker, no caches',
  control: 'ControlNets as a service alone',
  lora: 'LoRAs beside the steps alone',
  halves: 'the halves of guidance on two devices alone',
  all: 'all together',
}

export interface StrategyOptions {
  /** Steps that may run without the LoRAs. */
  readonly loraBound: number
  /** Where the strategy caches. */
  readonly controlNetCache: CacheLimit
  readonly loraCache: CacheLimit
  readonly overlayCache: CacheLimit
}

const NO_CACHE: CacheLimit = { slots: 0 }

/** How the simulator serves by each strategy; a cache belongs to the idea that brings it. */
export function strategyOf(name: StrategyName, options: StrategyOptions): Strategy {
  const control = name === 'control' || name === 'all'
  const lora = name === 'lora' || name === 'all'
  return {
    controlNets: control ? 'service' : 'co-located',
    loras: lora ? { mode: 'asynchronous', bound: options.loraBound, patching: 'between-steps' } : { mode: 'serial' },
    latentParallel: name === 'halves' || name === 'all',
    controlNetCache: control ? options.controlNetCache : NO_CACHE,
    loraCache: lora ? options.loraCache : NO_CACHE,
    overlayCache: lora ? options.overlayCache : NO_CACHE,
  }
}
