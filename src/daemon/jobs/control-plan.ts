import type { ControlWindow } from '../../engine/pipeline/denoise.js'
import type { PreparedControl } from '../../engine/pipeline/stages.js'
import type { ResolvedRequest } from '../protocol/request.js'
import type { JobControl } from '../workers/remote-stages.js'
import type { JobRecord } from './job.js'

/** The ControlNets of a job with what each of them sees. */
export function jobControls({ request, inputs }: Pick<JobRecord, 'request' | 'inputs'>): JobControl[] {
  return request.controls.map((control, index) => {
    const { path, image, preprocessor, resizeMode, lowThreshold, highThreshold } = control
    const { width, height } = request
    const made = { image: image.sha256, preprocessor, resizeMode, lowThreshold, highThreshold, width, height }
    return { path, picture: inputs.controls[index], pictureKey: JSON.stringify(made) }
  })
}

/** How and when the ControlNets of a request act. */
export function controlWindows(
  { controls }: ResolvedRequest,
  prepared: readonly PreparedControl[],
): readonly ControlWindow[] {
  return controls.map(({ scale, start, end, controlMode, guessMode, residualWeights }, index) => ({
    ...{ control: prepared[index], scale, start, end, guessMode, mode: controlMode },
    ...(residualWeights && { residualWeights }),
  }))
}
