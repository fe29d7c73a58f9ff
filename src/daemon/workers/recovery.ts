import { SwiftdError } from '../../engine/errors.js'

/** A job goes on after this many deaths of its workers; one whose workers die more often is what kills them. */
const MAX_RESTARTS = 3

/** Counts the workers that a job lost, and tells of them. */
export interface Recovery {
  /** A device's worker is gone. @throws SwiftdError WORKER_LOST when the job is given up */
  lost(device: string, error: SwiftdError): void
  /** The job goes on in another way. */
  note(sentence: string): void
}

export interface RecoveryOptions {
  readonly onRestart: (device: string, reason: string) => void
  readonly onNote: (sentence: string) => void
}

export function createRecovery({ onRestart, onNote }: RecoveryOptions): Recovery {
  let restarts = 0
  const lost = (device: string, error: SwiftdError): void => {
    if (++restarts > MAX_RESTARTS) throw gaveUp(device, restarts, error)
    onRestart(device, error.message)
  }
  return { lost, note: onNote }
}

function gaveUp(device: string, restarts: number, error: SwiftdError): SwiftdError {
  const sentence = `Workers of this job died ${restarts} times, the last one on ${device}; the job was given up: ${error.message}`
  return new SwiftdError('WORKER_LOST', sentence, { cause: error })
}
