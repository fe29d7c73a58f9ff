import type { DeviceWorker } from '../workers/device-worker.js'
import type { PlacementChoice, PlacementNeeds } from './placement.js'
import type { DeviceRoles } from './roles.js'

/**
 * Gives the text encoders and the autoencoder the device that was asked for, or that the daemon keeps for them. They run
 * before and after the steps, so the time of a step does not depend on it; it frees memory of the base device.
 */
export function withText(
  choice: PlacementChoice,
  { textDevice }: Pick<PlacementNeeds, 'textDevice'>,
  devices: readonly DeviceWorker[],
  roles: DeviceRoles,
): PlacementChoice {
  if (choice.kind === 'wait') return choice
  const name = textDevice ?? roles.text
  const text = devices.find(({ device, status }) => device.name === name && status.state !== 'failed')
  return text && text !== choice.placement.base ? { ...choice, placement: { ...choice.placement, text } } : choice
}
