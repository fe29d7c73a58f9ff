import { canListGpus } from '../../src/daemon/gpus/machine.js'
import { isGpu } from '../../src/daemon/workers/devices.js'
import { chooseDevice, type ChosenDevice } from '../device/choose-device.js'
import { measureParts } from '../device/measure-parts.js'
import { makeDeviceModel, parseModels } from '../device/models.js'
import { PART_NAMES, type PartSettings } from '../device/settings.js'
import type { Figure, Scenario } from '../harness.js'
import type { ScenarioOptions } from '../options.js'

const ROUNDS = 5
const NO_LSPCI = 'lspci is not installed (package pciutils): name, driver and memory of the card stay unknown'

/** All that a device is judged by, so that whoever has a GPU gets it with one command. */
export const device: Scenario = {
  about:
    'what a device reaches of its matrix rate, its bus and its memory, on models of SD1.5 and SDXL size: --on cuda:0',
  async run({ cacheDirectory, say, note, options }) {
    const models = parseModels(options.model)
    const { size } = options
    if (size !== undefined && size % 8 !== 0) throw new Error(`--size must be a multiple of 8 pixels, not ${size}.`)
    const chosen = await chooseDevice(options.on)
    note({ device: chosen.description })
    if (isGpu(chosen.spec.name) && !canListGpus()) say(NO_LSPCI)
    const figures: Record<string, Figure> = {}
    const failures: string[] = []
    for (const name of models) {
      say(`the files of ${name} in ${chosen.target.precision}, which are made once`)
      const model = await makeDeviceModel(name, chosen.target.precision, cacheDirectory, size)
      const settings = { ...settingsOf(chosen, options), cacheDirectory, model }
      const measured = await measureParts(PART_NAMES, settings, chosen.environment, say)
      Object.assign(figures, measured.figures)
      failures.push(...measured.failures)
    }
    if (failures.length > 0) note({ failures })
    return figures
  },
}

function settingsOf(
  { spec: { name, provider, threads, card } }: ChosenDevice,
  { rounds = ROUNDS, peak }: ScenarioOptions,
): Pick<PartSettings, 'device' | 'rounds' | 'peak'> {
  const device = { name, provider, threads, ...(card?.address !== undefined && { address: card.address }) }
  return { device, rounds, ...(peak !== undefined && { peak }) }
}
