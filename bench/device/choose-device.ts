import { cpus } from 'node:os'
import { checkDevice } from '../../src/daemon/gpus/check.js'
import { runChild } from '../../src/daemon/gpus/child.js'
import { listGpuDevices } from '../../src/daemon/gpus/list.js'
import { pinnedEnvironment } from '../../src/daemon/gpus/pinning.js'
import { describeFailure } from '../../src/daemon/gpus/reasons.js'
import { resolveDevices } from '../../src/daemon/gpus/resolve.js'
import type { DeviceSpec } from '../../src/daemon/workers/devices.js'
import type { GraphTarget } from '../../src/engine/graph/target.js'
import type { MeasuredDevice } from '../harness.js'

/** A device that computes, and what its processes need. */
export interface ChosenDevice {
  readonly spec: DeviceSpec
  /** What its processes have besides this one's environment, so that it is number 0 of its provider there. */
  readonly environment: Readonly<Record<string, string>>
  readonly target: GraphTarget
  /** For the document. */
  readonly description: MeasuredDevice
}

const PROBE_DEADLINE_MS = 120_000
const GIB = 2 ** 30

/**
 * Finds a device by its name, has it compute, and asks it what graphs are built for.
 * @param name as SWIFTD_DEVICES has it: `webgpu:0`, `cpu:0=2`
 * @throws Error with one sentence about a device that there is not, or that cannot be used
 */
export async function chooseDevice(name: string | undefined): Promise<ChosenDevice> {
  if (name === undefined) {
    throw new Error('Name the device to measure, such as --on cuda:0; "swiftd devices" lists those of this machine.')
  }
  const [spec, ...more] = await resolveDevices({ ...process.env, SWIFTD_DEVICES: name })
  if (more.length > 0) throw new Error(`--on takes one device, not "${name}".`)
  const pinned = pinnedEnvironment(spec, process.env)
  const check = await checkDevice(spec)
  if (!check.usable) throw new Error(describeFailure(spec.name, check))
  const target = await runChild(new URL('./probe-main', import.meta.url), {
    args: [spec.provider, String(spec.threads)],
    environment: { ...process.env, ...pinned },
    deadlineMs: PROBE_DEADLINE_MS,
  })
  const known = target as GraphTarget
  return { spec, environment: pinned, target: known, description: await describe(spec, known) }
}

async function describe(
  { name, provider, threads }: DeviceSpec,
  { precision, operators, attention }: GraphTarget,
): Promise<MeasuredDevice> {
  const known = (await listGpuDevices({ check: false })).devices.find((each) => each.name === name)
  const { driver, memory } = known ?? {}
  const hardware = provider === 'cpu' ? cpus()[0]?.model.trim() : known?.hardware
  return {
    ...{ name, provider, threads, hardware: hardware ?? 'unknown' },
    ...(driver !== undefined && { driver }),
    ...(memory && { memoryGiB: Math.round(memory.totalBytes / GIB) }),
    ...{ precision, operators, attention },
  }
}
