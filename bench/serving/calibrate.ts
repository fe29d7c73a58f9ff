import { median } from '../harness.js'
import type { StageTimes } from '../simulator/model.js'
import { latencyOf, type MeasuredJob } from './driver.js'

/** Jobs on one device, several of each kind, with everything serial and nothing of their add-ons resident. */
export interface CalibrationJobs {
  readonly bare: readonly MeasuredJob[]
  /** Without guidance: one half of it. */
  readonly half: readonly MeasuredJob[]
  readonly oneControlNet: readonly MeasuredJob[]
  readonly oneLora: readonly MeasuredJob[]
}

/**
 * The stage times that explain the latencies on one device, so that what the simulator says of two devices is a prediction.
 *
 * Two things cannot be seen from outside and are taken as follows: the UNet's encoder is as long as a ControlNet, which is a
 * copy of it; and a LoRA is all patching, as files in the page cache are read in no time. Tensors in shared memory are there
 * at once, so transfers and the exchange of the halves take none.
 */
export function calibrate({ bare, half, oneControlNet, oneLora }: CalibrationJobs): StageTimes {
  const step = stepOf(bare)
  const withControlNet = stepOf(oneControlNet)
  const controlNetMs = Math.max(0, withControlNet - step)
  const encoderMs = Math.min(controlNetMs, step)
  const around = aroundSteps(bare)
  return {
    // Before and after denoising matter only together.
    ...{ promptMs: around, vaeMs: 0, encoderMs, decoderMs: step - encoderMs, controlNetMs },
    ...{ halfShare: stepOf(half) / step, transferMs: 0, exchangeMs: 0, loraLoadMs: 0 },
    loraPatchMs: Math.max(0, aroundSteps(oneLora) - around),
    controlNetLoadMs: Math.max(0, aroundSteps(oneControlNet) - around),
  }
}

/** A step's median, without each job's first, which may wait for what comes before. */
export function stepOf(jobs: readonly MeasuredJob[]): number {
  return median(jobs.flatMap(({ stepMs }) => stepMs.slice(1)))
}

/** What a job takes beyond its steps. */
function aroundSteps(jobs: readonly MeasuredJob[]): number {
  const step = stepOf(jobs)
  return median(jobs.map((job) => Math.max(0, latencyOf(job) - job.stepMs.length * step)))
}
