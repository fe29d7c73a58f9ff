import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { WorkerState } from '../worker-state.js'
import type { Peer } from './messages.js'
import { connectPeer } from './peer-client.js'

/** The first messages take longer: they come upon code that never ran. */
const WARM_UP = 5
const ROUNDS = 21
/** Between two steps a worker does something else for as long at least; what sleeps meanwhile has to wake up again. */
const PAUSE_MS = 4

/**
 * Times messages to another worker and their answers, without any work in between.
 * @returns the median in milliseconds
 * @throws PeerLost if the other worker is gone or does not answer in time; SwiftdError CANCELLED
 */
export async function measureMessage(
  state: Pick<WorkerState, 'peerDeadlineMs'>,
  peer: Peer,
  signal: AbortSignal,
): Promise<number> {
  const session = await connectPeer(state, peer, { kind: 'echo' }, z.object({}), signal)
  try {
    const times: number[] = []
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      await sleep(PAUSE_MS)
      const began = performance.now()
      await session.run({})
      if (round >= 0) times.push(performance.now() - began)
    }
    return times.toSorted((a, b) => a - b)[(ROUNDS - 1) / 2]
  } finally {
    await session.close()
  }
}
