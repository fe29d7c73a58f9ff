import { measureInTurn } from '../device-jobs.js'
import { elapsedMs, figure, ratios } from '../harness.js'
import { measureOverlay, patchFigures, patchOnce, type Patch } from '../lora-costs.js'
import { openDeviceModel } from './open-model.js'
import type { PartResult, PartSettings } from './settings.js'

/** The patch of a LoRA in turn with a step, which it is to hide behind; then what using it costs. */
export async function measureLoras(settings: PartSettings): Promise<PartResult> {
  const { rounds, model: files } = settings
  const { host, model, coldMs, pass, step } = await openDeviceModel(settings)
  const patches: Patch[] = []
  const samples = await measureInTurn(rounds, {
    patch: async () => {
      const patch = await patchOnce(host, model, files.lora)
      patches.push(patch)
      return patch.elapsedMs
    },
    step: () => elapsedMs(step),
  })
  const use = await measureOverlay(host, model, files.lora, pass, rounds)
  const figures = {
    // The first round warms up.
    ...patchFigures(patches.slice(1)),
    'patch, of a step': figure(ratios(samples.patch, samples.step), 'ratio'),
    ...use,
  }
  return { coldMs, figures: Object.fromEntries(Object.entries(figures).map(([name, each]) => [`LoRA: ${name}`, each])) }
}
