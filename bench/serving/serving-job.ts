import type { AddonFiles } from './addon-files.js'
import type { ServingRequest } from './driver.js'
import type { ServingModel } from './serving-model.js'
import type { ServingStrategy } from './serving-strategies.js'

/** The add-ons of one job, by number. */
export interface JobAddons {
  readonly controlNets: readonly number[]
  readonly loras: readonly number[]
}

/** Writes requests for a model's jobs by one strategy. */
export function servingRequest(
  { request, controlImage }: ServingModel,
  files: AddonFiles,
  strategy: ServingStrategy,
  { controlNets, loras }: JobAddons,
  base: string = strategy.bases[0],
): ServingRequest {
  return {
    ...request,
    ...strategy.fields(base, controlNets.length),
    ...(controlNets.length > 0 && {
      controls: controlNets.map((number) => ({ controlNet: files.controlNet(number), image: controlImage })),
    }),
    ...(loras.length > 0 && { loras: loras.map((number) => ({ name: files.lora(number) })) }),
  }
}

/** The paper's kinds of jobs: how many ControlNets and LoRAs they have. */
export const SHAPES = ['0C0L', '1C0L', '0C1L', '1C1L', '1C2L'] as const
export type Shape = (typeof SHAPES)[number]

/** Draws the add-ons of a shape: always the same ControlNets, and LoRAs that no job had before. */
export function createShapeDraw(firstLora = 0): (shape: Shape) => JobAddons {
  let loras = firstLora
  return (shape) => ({
    controlNets: Array.from({ length: Number(shape[0]) }, (_, index) => index),
    loras: Array.from({ length: Number(shape[2]) }, () => loras++),
  })
}
