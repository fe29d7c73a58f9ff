import type { MeasuredJob, ServingRequest } from './driver.js'

/**
 * Checks that in every step exactly the devices worked that a request named, each in its role.
 * @throws Error with the first step that was computed otherwise
 */
export function checkPlacement(request: ServingRequest, { steps }: Pick<MeasuredJob, 'steps'>): void {
  const asked = expectedWork(request).toSorted().join(', ')
  for (const [index, { devices }] of steps.entries()) {
    const done = devices.map(({ role, device }) => `${role} ${device}`).toSorted()
    if (done.join(', ') === asked) continue
    throw new Error(`Step ${index + 1} was computed by "${done.join(', ')}", but "${asked}" was asked for.`)
  }
}

/** Who does what in a step; a ControlNet on a base device computes the rows of that device, on another one all rows. */
function expectedWork({ placement, latentParallel, controls = [] }: ServingRequest): string[] {
  const { baseDevice, secondDevice, controlNetDevices: [controlDevice] = [] } = placement ?? {}
  const bases = [baseDevice, ...(latentParallel ? [secondDevice] : [])]
  const controlled = bases.includes(controlDevice) ? bases : [controlDevice]
  return [
    `base ${baseDevice}`,
    ...(latentParallel ? [`second ${secondDevice}`] : []),
    ...controls.flatMap(() => controlled.map((device) => `controlnet ${device}`)),
  ]
}
