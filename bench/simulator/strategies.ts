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
  readonly overlayCache: CacheLimit
}

const NO_CACHE: CacheLimit = { slots: 0 }

/**
 * How the simulator serves by each strategy; a cache belongs to the idea that brings it. LoRAs are read before the prompt,
 * as the text encoders need them, and patched beside what follows; it is the steps without them that are an idea. Files
 * are not kept, overlays are.
 */
export function strategyOf(name: StrategyName, options: StrategyOptions): Strategy {
  const control = name === 'control' || name === 'all'
  const lora = name === 'lora' || name === 'all'
  return {
    controlNets: control ? 'service' : 'co-located',
    loras: {
      ...{ mode: 'asynchronous', patching: 'beside-steps', readFirst: true },
      bound: lora ? options.loraBound : 0,
    },
    latentParallel: name === 'halves' || name === 'all',
    controlNetCache: control ? options.controlNetCache : NO_CACHE,
    loraCache: NO_CACHE,
    overlayCache: lora ? options.overlayCache : NO_CACHE,
  }
}
