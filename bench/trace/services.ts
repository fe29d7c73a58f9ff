import type { PopularityFacts } from './popularity.js'

/** How requests use one kind of add-on, ControlNets or LoRAs. */
export interface AddonFacts {
  /** Entry n is the share of requests with n add-ons of this kind; the shares sum to 1. */
  readonly counts: readonly number[]
  readonly popularity: PopularityFacts
  /** With probability `repeat` a request takes the add-ons of one of the `window` requests before it, all alike. */
  readonly locality: { readonly repeat: number; readonly window: number }
}

export interface ServiceFacts {
  readonly controlNets: AddonFacts
  readonly loras: AddonFacts
}

export type ServiceName = 'A' | 'B'

/**
 * The two services of the published trace (SwiftDiffusion, arXiv 2407.02031, section 3; published as Katz, USENIX ATC'25).
 *
 * Given there: how many add-ons requests have, how many there are, which share of uses the most popular ones have, and that
 * 99.8 % of the LoRAs have less than 1 % of uses each. Fitted here: A's share of its 14 most popular LoRAs, B's share of its
 * 10 most popular ControlNets, the exponents, `headEnd` of the ControlNets, and the locality, so that LRU caches of 1, 5 and
 * 10 slots load about as often as the trace's own figures say; bench/trace/README.md says how close. Independent draws cannot
 * do that: in the trace a LoRA comes back at once or not for long, and rare ControlNets come in bursts.
 */
export const services: Readonly<Record<ServiceName, ServiceFacts>> = {
  A: {
    controlNets: {
      counts: [0, 0.305, 0.695],
      popularity: {
        coverage: [
          { ranks: 5, share: 0.98 },
          { ranks: 47, share: 1, exponent: 1 },
        ],
        headEnd: 0.15,
      },
      locality: { repeat: 0.9, window: 9 },
    },
    loras: {
      counts: [0.002, 0.088, 0.91],
      popularity: {
        coverage: [
          { ranks: 14, share: 0.28 },
          { ranks: 100, share: 0.45 },
          { ranks: 1000, share: 0.74 },
          { ranks: 6980, share: 1 },
        ],
        headEnd: 0.0104,
      },
      locality: { repeat: 0.3, window: 3 },
    },
  },
  B: {
    controlNets: {
      counts: [0.019, 0.251, 0.699, 0.031],
      popularity: {
        coverage: [
          { ranks: 8, share: 0.95 },
          { ranks: 10, share: 0.992 },
          { ranks: 94, share: 1, exponent: 1 },
        ],
        headEnd: 0.08,
      },
      locality: { repeat: 0.75, window: 16 },
    },
    loras: {
      counts: [0.072, 0.736, 0.192],
      popularity: {
        coverage: [
          { ranks: 13, share: 0.52 },
          { ranks: 1400, share: 0.9 },
          { ranks: 7463, share: 1 },
        ],
        headEnd: 0.0115,
      },
      locality: { repeat: 0.3, window: 1 },
    },
  },
}
