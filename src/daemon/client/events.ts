import { isTerminal, parseJobEvent, type JobEvent } from '../protocol/event.js'
import { unreachable } from './transport.js'

/**
 * Reads a job's events from lines of JSON. Heartbeats and events of unknown types are left out.
 * @throws SwiftdError DAEMON_UNREACHABLE if the lines end without a terminal event
 */
export async function* readEvents(body: AsyncIterable<Buffer>): AsyncGenerator<JobEvent, void> {
  for await (const line of lines(body)) {
    const event = parseJobEvent(JSON.parse(line))
    if (!event || event.type === 'heartbeat') continue
    yield event
    if (isTerminal(event)) return
  }
  throw unreachable(new Error('the events ended early'))
}

async function* lines(body: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of body) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = parts.pop() ?? ''
      yield* parts.filter((part) => part !== '')
    }
  } catch (error) {
    throw unreachable(error)
  }
}
