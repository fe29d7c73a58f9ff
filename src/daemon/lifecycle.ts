import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from './logger.js'
import type { DaemonState } from './protocol/status.js'

export interface Lifecycle {
  readonly state: DaemonState
  /**
   * ready → draining → gone. Calls while draining may only shorten the grace: the second Ctrl-C of an impatient person
   * cancels what still runs.
   */
  shutdown(graceMs: number): void
}

export interface LifecycleParts {
  readonly logger: Logger
  /** Told once, when the end begins. */
  readonly onStopping?: () => void
  /** Ends all jobs; those that run may take `graceMs` to finish by themselves. */
  readonly drain: (graceMs: number) => Promise<void>
  /** Closes everything else, in order. Each must end soon by itself. */
  readonly close: readonly (() => Promise<unknown> | void)[]
}

/** An orderly exit that takes longer than this is not worth waiting for. */
const CLOSE_DEADLINE_MS = 5000

export function createLifecycle({ logger, onStopping, drain, close }: LifecycleParts): Lifecycle {
  let state: DaemonState = 'ready'

  async function end(graceMs: number): Promise<void> {
    logger.info({ graceMs }, 'stopping')
    await drain(graceMs)
    for (const part of close) {
      try {
        await Promise.race([part(), sleep(CLOSE_DEADLINE_MS)])
      } catch (error) {
        logger.error({ err: error }, 'a part of the daemon did not close')
      }
    }
    logger.info('stopped')
    process.exit(0)
  }

  return {
    get state() {
      return state
    },
    shutdown(graceMs) {
      if (state === 'draining') return void drain(graceMs)
      state = 'draining'
      onStopping?.()
      void end(graceMs)
    },
  }
}
