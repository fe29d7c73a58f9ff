import { availableParallelism } from 'node:os'
import type { DeviceStep } from '../../src/daemon/protocol/event.js'
import type { Preloaded } from '../../src/daemon/protocol/preload.js'
import type { Prepared } from '../../src/daemon/workers/job-crew.js'
import type { Sharing } from '../simulator/device.js'
import type { StageTimes } from '../simulator/model.js'
import type { StageSamples } from './stage-samples.js'
import { latencyOf, type MeasuredJob } from './driver.js'

/** Jobs that stage times are taken from, several of each kind; nothing of their add-ons is resident. */
export interface CalibrationJobs {
  /** On one device while the other one is idle. */
  readonly bare: readonly MeasuredJob[]
  /** The same while the other one computes such a job, too. */
  readonly pair: readonly MeasuredJob[]
  /** With a ControlNet on the same device. */
  readonly oneControlNet: readonly MeasuredJob[]
  /** With a ControlNet on the other device. */
  readonly service: readonly MeasuredJob[]
  /** The halves of the guidance on two devices. */
  readonly halves: readonly MeasuredJob[]
  /** With LORAS_PER_SET LoRAs. */
  readonly loras: readonly MeasuredJob[]
  /** Whole overlays of as many LoRAs. */
  readonly overlays: readonly Preloaded[]
  /** What workers made ready for these jobs. */
  readonly prepared: ReadonlyMap<string, readonly Prepared[]>
}

export const LORAS_PER_SET = 2

/** What the simulator is fed with. */
export interface Calibration {
  readonly samples: StageSamples
  /** What the devices have in common: how much longer a step takes while another device computes, and the cores. */
  readonly sharing: Required<Sharing>
}

/**
 * Stage times from what devices report of their steps, from what workers report of loading, and from the events around the
 * steps. All are taken on an otherwise idle daemon; what the devices cost each other is the contention.
 * @param cores of the machine; a device has one thread
 */
export function calibrate(jobs: CalibrationJobs, cores = availableParallelism()): Calibration {
  const { bare, pair, oneControlNet, service, halves, loras, overlays, prepared } = jobs
  const base = stepTimings(bare, 'base')
  const passMs = mean(base.map(passOf))
  const contention = Math.max(1, mean(stepTimings(pair, 'base').map(passOf)) / passMs)
  const halfMs = mean([...stepTimings(halves, 'base'), ...stepTimings(halves, 'second')].map(passOf))
  const loadMs = (kind: Prepared['kind'], of: readonly MeasuredJob[]): number[] =>
    of.flatMap(({ id }) => {
      return (prepared.get(id) ?? []).flatMap((each) => (each.kind === kind && !each.cached ? [each.elapsedMs] : []))
    })
  const setMs = loadMs('lora', loras)
  const samples: StageSamples = {
    promptMs: bare.map(beforeSteps),
    encoderMs: base.map(({ encoderMs = 0 }) => encoderMs),
    decoderMs: base.map(({ decoderMs = 0 }) => decoderMs),
    controlNetMs: stepTimings(oneControlNet, 'controlnet').map(({ controlNetMs = 0 }) => controlNetMs),
    betweenStepsMs: laterSteps(bare).map(({ elapsedMs, devices }) => Math.max(0, elapsedMs - passOf(devices[0]))),
    halfShare: Math.min(1, halfMs / (passMs * contention)),
    transferMs: stepTimings(service, 'controlnet').map(({ messageMs = 0 }) => messageMs),
    exchangeMs: stepTimings(halves, 'second').map(({ messageMs = 0 }) => messageMs),
    vaeMs: bare.map(({ decodingMs, finishedMs }) => finishedMs - decodingMs),
    loraLoadMs: setMs.map((ms) => ms / LORAS_PER_SET),
    loraPatchMs: overlays.map(({ elapsedMs }) => Math.max(0, elapsedMs - mean(setMs)) / LORAS_PER_SET),
    controlNetLoadMs: loadMs('controlnet', oneControlNet),
  }
  return { samples, sharing: { contention, cores } }
}

/** Without each job's first, which may wait for what comes before. */
function laterSteps(jobs: readonly MeasuredJob[]): MeasuredJob['steps'] {
  return jobs.flatMap(({ steps }) => steps.slice(1))
}

/** What devices of a role report of the steps. */
function stepTimings(jobs: readonly MeasuredJob[], role: DeviceStep['role']): DeviceStep[] {
  return laterSteps(jobs).flatMap(({ devices }) => devices.filter((device) => device.role === role))
}

function passOf({ encoderMs = 0, decoderMs = 0 }: DeviceStep): number {
  return encoderMs + decoderMs
}

/** All before the steps, and by how much the first one is longer than the others. */
function beforeSteps(job: MeasuredJob): number {
  const later = job.steps.slice(1).map(({ elapsedMs }) => elapsedMs)
  return Math.max(0, latencyOf(job) - (job.finishedMs - job.decodingMs) - sum(later) - mean(later))
}

/**
 * What a job lost to loading and patching: its time beyond steps at its own pace and beyond what a job without add-ons
 * needs around them. The step at which LoRAs take effect may have waited for them, so it does not count for the pace.
 * @param aroundMs what a bare job needs around its steps
 */
export function lostMs(job: MeasuredJob, aroundMs: number): number {
  const usual = job.steps.filter((_, index) => index > 0 && index !== job.loraStep).map(({ elapsedMs }) => elapsedMs)
  return latencyOf(job) - job.steps.length * mean(usual) - aroundMs
}

/** What a bare job needs around its steps, on the mean. */
export function aroundSteps({ promptMs, vaeMs }: Pick<StageTimes, 'promptMs' | 'vaeMs'>): number {
  return promptMs + vaeMs
}

export function mean(values: readonly number[]): number {
  return sum(values) / values.length
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
