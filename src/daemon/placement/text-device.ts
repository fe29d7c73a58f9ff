import type { DeviceWorker } from '../workers/device-worker.js'
import type { Availability, Placement, PlacementChoice, PlacementNeeds } from './placement.js'
import { WORTHWHILE, type StageCosts } from './predict.js'
import type { DeviceRoles } from './roles.js'
import { withoutStandIns } from './stand-ins.js'

/** What the choice of a device for the text encoders and the autoencoder depends on besides the job. */
export interface TextContext extends Pick<Availability, 'devices' | 'free'> {
  readonly roles: DeviceRoles
  readonly costs?: StageCosts
}

/**
 * Gives the text encoders and the autoencoder the device that was asked for, or that the daemon keeps for them. With
 * `latentParallel: "auto"` it is otherwise a base device that nothing runs on and that is faster than the job's own. They run
 * before and after the steps, so the time of a step does not depend on it, and beside an equal device nothing is gained: the
 * base device stays with its job meanwhile, and another device serves a whole job of its own better. Named, it frees memory
 * of the base device.
 */
export function withText(
  choice: PlacementChoice,
  needs: Pick<PlacementNeeds, 'textDevice' | 'latentParallel'>,
  context: TextContext,
): PlacementChoice {
  if (choice.kind === 'wait') return choice
  const { placement } = choice
  const name = needs.textDevice ?? context.roles.text
  const text =
    name !== undefined
      ? context.devices.find(({ device, status }) => device.name === name && status.state !== 'failed')
      : needs.latentParallel === 'auto'
        ? fasterDevice(placement, context)
        : undefined
  return text && text !== placement.base ? { ...choice, placement: { ...placement, text } } : choice
}

/**
 * The fastest base device without a job, if that is faster than the placement's. How long it takes for the UNet stands for
 * its speed: prompts and pictures are not measured by themselves.
 */
function fasterDevice(
  { base }: Placement,
  { devices, free, roles: allRoles, costs }: TextContext,
): DeviceWorker | undefined {
  const roles = withoutStandIns(allRoles, devices)
  const passMs = ({ device }: DeviceWorker): number => {
    const times = costs?.whole(device.name)
    return times ? times.encoderMs + times.decoderMs : NaN
  }
  const idle = free.filter(({ device, status }) => status.state === 'idle' && roles.base.includes(device.name))
  const faster = idle.filter((device) => passMs(device) < (1 - WORTHWHILE) * passMs(base))
  return faster.toSorted((one, other) => passMs(one) - passMs(other))[0]
}
