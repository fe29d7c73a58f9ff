import { SwiftdError } from '../../engine/errors.js'
import { ERRORS } from '../../daemon/protocol/error.js'

export interface Interruption {
  /** Aborts at the first SIGINT or SIGTERM, or when the time is up; its reason is a SwiftdError. */
  readonly signal: AbortSignal
  /** Takes the handlers off again. */
  dispose(): void
}

/** How long a cancelled job may take to stop; computing stops within a fraction of this. */
const PATIENCE_MS = 15_000

interface InterruptionOptions {
  readonly timeoutSeconds: number | undefined
  /** There may be several jobs. */
  readonly several?: boolean
}

/**
 * Listens for the ends that come from outside. The first asks the job to stop; a second signal, or a job that does not
 * stop, ends the process at once.
 */
export function listenForInterruption({ timeoutSeconds, several = false }: InterruptionOptions): Interruption {
  const controller = new AbortController()
  const timers: NodeJS.Timeout[] = []
  const interrupt = (reason: SwiftdError): void => {
    const { exitCode } = ERRORS[reason.code]
    if (controller.signal.aborted) process.exit(exitCode)
    timers.push(setTimeout(() => process.exit(exitCode), PATIENCE_MS))
    controller.abort(reason)
  }
  const onSignal = (): void => interrupt(new SwiftdError('CANCELLED', 'Cancelled.'))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  if (timeoutSeconds !== undefined) {
    const [what, whose] = several ? ['Not all images were', 'the jobs were'] : ['The image was not', 'the job was']
    const sentence = `${what} ready within ${timeoutSeconds} s, ${whose} cancelled; raise --timeout.`
    timers.push(setTimeout(() => interrupt(new SwiftdError('TIMEOUT', sentence)), timeoutSeconds * 1000))
  }
  return {
    signal: controller.signal,
    dispose() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
      timers.forEach(clearTimeout)
    },
  }
}
