import type { Graph } from '../graph/builder.js'
import { PORTABLE, type GraphTarget } from '../graph/target.js'
import { buildHalfProbe } from '../graph/upload.js'
import { allocateNative } from '../memory/native-memory.js'
import { OrtError } from '../ort/api.js'
import type { Environment } from '../ort/environment.js'
import { openSession } from '../ort/session.js'
import type { CompiledGraph } from './network.js'

/** Compiled graphs of one process, one for each architecture. */
export interface GraphCache {
  /** What they are compiled for. */
  readonly environment: Environment
  /**
   * The compiled graph of an architecture; compiled on first use.
   * @param kind which network
   * @param config all that shapes its graph; equal configs share the session
   * @param build is told what the device's graphs are built for
   */
  open(kind: string, config: object, build: (target: GraphTarget) => Graph): Promise<CompiledGraph>
  /** How many graphs were compiled. */
  readonly compiled: number
  /** Releases all sessions. Every binding must be released before. */
  release(): Promise<void>
}

export function createGraphCache(environment: Environment): GraphCache {
  const sessions = new Map<string, Promise<CompiledGraph>>()
  let target: Promise<GraphTarget> | undefined
  const compile = async (build: (target: GraphTarget) => Graph): Promise<CompiledGraph> => {
    const graph = build(await (target ??= possibleTarget(environment)))
    return { graph, session: await openSession(environment, graph.model) }
  }
  return {
    environment,
    get compiled() {
      return sessions.size
    },
    open(kind, config, build) {
      const key = `${kind} ${architectureKey(config)}`
      const known = sessions.get(key)
      if (known) return known
      const opening = compile(build)
      sessions.set(key, opening)
      opening.catch(() => sessions.delete(key))
      return opening
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

function architectureKey(config: object): string {
  const fields = Object.entries(config).filter(([name, value]) => !USAGE_FIELDS.has(name) && value !== undefined)
  return JSON.stringify(fields.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The environment's target, in float32 where the device cannot compute in half precision. */
async function possibleTarget(environment: Environment): Promise<GraphTarget> {
  const { target } = environment
  if (target.precision === PORTABLE.precision || (await canComputeInHalf(environment))) return target
  return { ...target, precision: PORTABLE.precision }
}

async function canComputeInHalf(environment: Environment): Promise<boolean> {
  const session = await openSession(environment, buildHalfProbe().model)
  const binding = session.createBinding()
  const memory = allocateNative(8)
  memory.floats.set([1.5, 0])
  try {
    binding.bindInput('x', { type: 'float32', dims: [1], address: memory.address })
    binding.bindOutput('y', { type: 'float32', dims: [1], address: memory.address + 4n })
    await binding.run()
    return memory.floats[1] === 3
  } catch (error) {
    if (error instanceof OrtError) return false
    throw error
  } finally {
    binding.release()
    session.release()
    memory.release()
  }
}
