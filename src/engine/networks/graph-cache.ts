import type { Graph } from '../graph/builder.js'
import { typesOf, type GraphTarget } from '../graph/target.js'
import type { Environment } from '../ort/environment.js'
import { openSession } from '../ort/session.js'
import type { CompiledGraph } from './network.js'
import { probeTarget } from './probe-target.js'

/** Compiled graphs of one process, one for each architecture. */
export interface GraphCache {
  readonly environment: Environment
  /** What they are built for; found out on first use. */
  target(): Promise<GraphTarget>
  /** Whether the device converts float16 weights itself, so that files in it are given as they are. */
  acceptsHalf(): Promise<boolean>
  /**
   * The compiled graph of an architecture; compiled on first use.
   * @param kind which network
   * @param config all that shapes its graph; equal configs share the session
   * @param build is told what the device's graphs are built for
   */
  open(kind: string, config: object, build: (target: GraphTarget) => Graph): Promise<CompiledGraph>
  /** How many graphs were compiled. */
  readonly compiled: number
  /** Releases the session of an architecture with what it keeps of memory; the next `open` compiles again. No binding of it may be left. */
  close(kind: string, config: object): Promise<void>
  /** Releases all sessions. Every binding must be released before. */
  release(): Promise<void>
}

export function createGraphCache(environment: Environment): GraphCache {
  const sessions = new Map<string, Promise<CompiledGraph>>()
  let probed: Promise<GraphTarget> | undefined
  const target = (): Promise<GraphTarget> => {
    probed ??= probeTarget(environment).catch((error: unknown) => {
      probed = undefined
      throw error
    })
    return probed
  }
  const compile = async (build: (target: GraphTarget) => Graph): Promise<CompiledGraph> => {
    const graph = build(await target())
    return { graph, session: await openSession(environment, graph.model, graph) }
  }
  return {
    environment,
    target,
    async acceptsHalf() {
      return environment.provider.hasOwnMemory && typesOf(await target()).weights === 'float16'
    },
    get compiled() {
      return sessions.size
    },
    open(kind, config, build) {
      const key = graphKey(kind, config)
      const known = sessions.get(key)
      if (known) return known
      const opening = compile(build)
      sessions.set(key, opening)
      opening.catch(() => sessions.delete(key))
      return opening
    },
    async close(kind, config) {
      const key = graphKey(kind, config)
      const opening = sessions.get(key)
      sessions.delete(key)
      ;(await opening?.catch(() => undefined))?.session.release()
    },
    async release() {
      const opened = await Promise.allSettled(sessions.values())
      sessions.clear()
      for (const result of opened) if (result.status === 'fulfilled') result.value.session.release()
    },
  }
}

/** Fields of configs that say how a network is used, not how its graph looks. */
const USAGE_FIELDS = new Set(['sample_size', 'scaling_factor', 'eos_token_id', 'controlnet_conditioning_channel_order'])

/** Tells graphs apart: which network, and all of its config that shapes the graph. */
export function graphKey(kind: string, config: object): string {
  const fields = Object.entries(config).filter(([name, value]) => !USAGE_FIELDS.has(name) && value !== undefined)
  return `${kind} ${JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1)))}`
}
