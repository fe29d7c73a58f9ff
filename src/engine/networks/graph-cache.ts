import type { Graph } from '../graph/builder.js'
import type { GraphTarget, Precision } from '../graph/target.js'
import type { Environment } from '../ort/environment.js'
import { openSession, type Session } from '../ort/session.js'
import type { DeviceTarget } from './network-target.js'
import { probeTarget } from './probe-target.js'

/** A graph as the cache knows it. */
export interface GraphReference {
  /** Which network. */
  readonly kind: string
  /** All that shapes its graph; equal configs share the session. */
  readonly config: object
  /** What a network's graph is built for, where that depends on its file. @default the device's */
  readonly precision?: Precision
}

/** A compiled graph. It is opened once per architecture and serves every file of that architecture. */
export interface CompiledGraph {
  readonly graph: Graph
  readonly session: Session
}

/** Compiled graphs of one process, one for each architecture and precision. */
export interface GraphCache {
  readonly environment: Environment
  /** What they are built for; found out on first use. */
  target(): Promise<DeviceTarget>
  /**
   * The compiled graph of an architecture; compiled on first use.
   * @param kind which network
   * @param config all that shapes its graph; equal configs share the session
   * @param build is told what the graph is built for
   * @param target what that is, where it depends on the network's file @default the device's
   */
  open(
    kind: string,
    config: object,
    build: (target: GraphTarget) => Graph,
    target?: GraphTarget,
  ): Promise<CompiledGraph>
  /** How many graphs were compiled. */
  readonly compiled: number
  /** Releases the session of an architecture with what it keeps of memory; the next `open` compiles again. No binding of it may be left. */
  close(graph: GraphReference): Promise<void>
  /** Releases all sessions. Every binding must be released before. */
  release(): Promise<void>
}

export function createGraphCache(environment: Environment): GraphCache {
  const sessions = new Map<string, Promise<CompiledGraph>>()
  let probed: Promise<DeviceTarget> | undefined
  const target = (): Promise<DeviceTarget> => {
    probed ??= probeTarget(environment).catch((error: unknown) => {
      probed = undefined
      throw error
    })
    return probed
  }
  const compile = async (build: (target: GraphTarget) => Graph, given?: GraphTarget): Promise<CompiledGraph> => {
    const graph = build(given ?? (await target()))
    return { graph, session: await openSession(environment, graph.model, graph) }
  }
  return {
    environment,
    target,
    get compiled() {
      return sessions.size
    },
    open(kind, config, build, given) {
      const key = graphKey({ kind, config, ...(given && { precision: given.precision }) })
      const known = sessions.get(key)
      if (known) return known
      const opening = compile(build, given)
      sessions.set(key, opening)
      opening.catch(() => sessions.delete(key))
      return opening
    },
    async close(graph) {
      const key = graphKey(graph)
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

/** Tells graphs apart: which network, all of its config that shapes the graph, and its precision. */
export function graphKey({ kind, config, precision }: GraphReference): string {
  const fields = Object.entries(config).filter(([name, value]) => !USAGE_FIELDS.has(name) && value !== undefined)
  return `${kind} ${precision ?? ''} ${JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1)))}`
}
