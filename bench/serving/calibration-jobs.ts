import type { StrategyName } from '../simulator/strategies.js'
import { LORAS_PER_SET, type CalibrationJobs } from './calibrate.js'
import type { ServingDaemons } from './daemons.js'
import type { Driver, MeasuredJob } from './driver.js'
import { servingRequest, type JobAddons } from './serving-job.js'
import type { ServingModel } from './serving-model.js'
import { DEVICES, servingStrategy } from './serving-strategies.js'

/** Runs jobs that stage times are taken from, by the daemon without caches. */
export interface Calibrator {
  /** One job of each kind. */
  round(): Promise<CalibrationJobs>
}

const BARE: JobAddons = { controlNets: [], loras: [] }
const ONE_CONTROLNET: JobAddons = { controlNets: [0], loras: [] }

/** @param firstLora LoRAs have numbers from here on: none that another job has */
export function createCalibrator(daemons: ServingDaemons, model: ServingModel, firstLora: number): Calibrator {
  let loras = firstLora
  const loraSet = (): number[] => Array.from({ length: LORAS_PER_SET }, () => loras++)

  function run(driver: Driver, name: StrategyName, addons: JobAddons, base?: string): Promise<MeasuredJob> {
    return driver.run(servingRequest(model, daemons.files, servingStrategy(name), addons, base))
  }

  return {
    async round() {
      const driver = await daemons.driver('serial')
      const names = loraSet().map((number) => daemons.files.lora(number))
      return {
        bare: [await run(driver, 'serial', BARE), await run(driver, 'serial', BARE)],
        pair: await Promise.all(DEVICES.map((base) => run(driver, 'serial', BARE, base))),
        oneControlNet: [await run(driver, 'serial', ONE_CONTROLNET)],
        service: [await run(driver, 'control', ONE_CONTROLNET)],
        halves: [await run(driver, 'halves', BARE)],
        loras: [await run(driver, 'serial', { ...BARE, loras: loraSet() })],
        overlays: await driver.preload({ kind: 'lora', names, model: model.request.model, together: true }),
        prepared: driver.prepared(),
      }
    },
  }
}

/** All jobs of several rounds. */
export function mergeRounds(rounds: readonly CalibrationJobs[]): CalibrationJobs {
  return {
    bare: rounds.flatMap(({ bare }) => bare),
    pair: rounds.flatMap(({ pair }) => pair),
    oneControlNet: rounds.flatMap(({ oneControlNet }) => oneControlNet),
    service: rounds.flatMap(({ service }) => service),
    halves: rounds.flatMap(({ halves }) => halves),
    loras: rounds.flatMap(({ loras }) => loras),
    overlays: rounds.flatMap(({ overlays }) => overlays),
    prepared: new Map(rounds.flatMap(({ prepared }) => [...prepared])),
  }
}
