import type { Scenario } from '../harness.js'
import { addons } from './addons.js'
import { cli } from './cli.js'
import { controlnet } from './controlnet.js'
import { device } from './device.js'
import { latentParallel } from './latent-parallel.js'
import { load } from './load.js'
import { lora } from './lora.js'
import { overhead } from './overhead.js'
import { swap } from './swap.js'
import { trace } from './trace.js'

/** By the name that the command line takes. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  ...{ overhead, load, cli, swap, controlnet, lora, addons, trace, device },
  'latent-parallel': latentParallel,
}
