import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AdapterDescription, CachedAdapters } from '../../../engine/networks/adapter-cache.js'
import type { AdapterSet } from '../../../engine/networks/adapter-set.js'
import type { BaseModel } from '../../../engine/networks/base-model.js'
import type { Lease } from '../../../engine/networks/residency.js'
import type { WorkerState } from '../worker-state.js'

/** The LoRAs of a job on one worker, while the job runs. */
export interface AdapterWork {
  /** Whether `whole` would not wait. */
  ready(): boolean
  /** The overlays. @throws what kept them from being made */
  whole(): Promise<AdapterSet>
  /** Lets the overlays go, once they are made: it waits for no more than the LoRA that is being read. */
  close(): Promise<void>
}

/** Begins to read LoRAs and to compute their overlays, beside the steps; overlays that are there are ready at once. */
export async function openAdapterWork(
  { host }: WorkerState,
  model: BaseModel,
  descriptions: readonly AdapterDescription[],
): Promise<AdapterWork> {
  const leasing = host.adapters.acquire(model, descriptions)
  let lease: Lease<CachedAdapters> | undefined
  let failed = false
  const fail = (): void => void (failed = true)
  leasing.then((opened) => {
    lease = opened
    opened.value.whole().catch(fail)
  }, fail)
  // Overlays of an earlier job are found before the first step asks.
  await nextTurn()
  return {
    // What cannot be made is told at the next step, not at the last one that might have waited for it.
    ready: () => failed || lease?.value.complete !== undefined,
    whole: async () => (await leasing).value.whole(),
    async close() {
      const opened = await leasing.catch(() => undefined)
      opened?.end()
      await host.adapters.trim()
    },
  }
}
