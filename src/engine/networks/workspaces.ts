import { createExclusive } from '../exclusive.js'
import { EVICTION_RANKS, type DeviceMemory, type Need, type Unused } from './device-memory.js'
import { graphKey, type GraphCache, type GraphReference } from './graph-cache.js'

/** What runs of a graph take besides weights, inputs and outputs that others own. */
export interface GraphWork extends GraphReference {
  readonly byteLength: number
}

/**
 * The working memory of a device's sessions. The runtime keeps what a session's largest run took until the session is
 * released: it serves the next run, also of another model of the architecture. So that is what is counted.
 */
export interface Workspaces {
  /**
   * Says that something is bound to graphs, whose sessions cannot be released before the returned function is called.
   * @param inUse whether somebody uses it at the moment
   */
  bind(graphs: readonly GraphReference[], inUse: () => boolean): () => void
  /**
   * Makes sure that graphs may run with so much memory.
   * @throws SwiftdError OUT_OF_MEMORY; nothing was taken then
   */
  prepare(work: readonly GraphWork[], need: Omit<Need, 'byteLength'>): Promise<void>
  /** What all sessions keep, in bytes. */
  readonly byteLength: number
}

interface Workspace {
  readonly graph: GraphReference
  bytes: number
  lastUsed: number
  readonly users: Set<() => boolean>
}

export function createWorkspaces(graphs: Pick<GraphCache, 'close'>, memory: DeviceMemory): Workspaces {
  const spaces = new Map<string, Workspace>()
  const turn = createExclusive()

  function spaceOf(graph: GraphReference): Workspace {
    const key = graphKey(graph)
    const space = spaces.get(key) ?? { graph, bytes: 0, lastUsed: 0, users: new Set() }
    spaces.set(key, space)
    return space
  }

  async function close(space: Workspace): Promise<void> {
    const { bytes, graph } = space
    space.bytes = 0
    await graphs.close(graph)
    memory.give(bytes)
  }

  const unused = (): Unused[] =>
    [...spaces.values()]
      .filter(({ bytes, users }) => bytes > 0 && users.size === 0)
      .map((space) => ({ byteLength: space.bytes, lastUsed: space.lastUsed, evict: () => close(space) }))
  memory.add({
    rank: EVICTION_RANKS.workspace,
    unused,
    // Once what is bound to them, and is not used, has gone.
    freeable: () =>
      [...spaces.values()]
        .filter(({ users }) => ![...users].some((inUse) => inUse()))
        .reduce((sum, { bytes }) => sum + bytes, 0),
  })

  return {
    bind(references, inUse) {
      const bound = references.map(spaceOf)
      bound.forEach(({ users }) => users.add(inUse))
      return () => bound.forEach(({ users }) => users.delete(inUse))
    },
    prepare: (work, need) =>
      turn(async () => {
        const wanted = work.map((each) => ({ space: spaceOf(each), bytes: each.byteLength }))
        const growth = wanted.reduce((sum, { space, bytes }) => sum + Math.max(0, bytes - space.bytes), 0)
        await memory.take({ ...need, byteLength: growth })
        for (const { space, bytes } of wanted) {
          space.bytes = Math.max(space.bytes, bytes)
          space.lastUsed = Date.now()
        }
      }),
    get byteLength() {
      return [...spaces.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    },
  }
}
