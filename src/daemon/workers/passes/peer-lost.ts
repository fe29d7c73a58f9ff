import { SwiftdError } from '../../../engine/errors.js'

/** Another worker that took part in a job is gone, or did not answer in time. */
export class PeerLost extends SwiftdError {
  constructor(
    /** Its device. */
    readonly device: string,
    message: string,
  ) {
    super('WORKER_LOST', message)
  }
}
