import type { Timings } from '../../daemon/protocol/job.js'
import type { SavedImage } from './save-images.js'

/** What became of a job. */
export interface GenerateResult {
  readonly jobId: string
  readonly model: string
  readonly seed: number
  readonly images: readonly SavedImage[]
  readonly timings: Timings
}
