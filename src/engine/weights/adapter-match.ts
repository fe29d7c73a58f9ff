import { SwiftdError } from '../errors.js'
import { elementCount } from '../tensor.js'
import type { Adapter, AdapterLayer, AdapterTarget } from './adapter.js'
import type { TrunkConfig } from './config.js'
import { originalTrunkNames } from './original-names.js'
import type { WeightShape } from './weights.js'

/** A network that adapters can change: its weights by name, and for UNets what its original names follow from. */
export interface AdapterHost {
  readonly target: AdapterTarget
  readonly weights: readonly WeightShape[]
  readonly trunk?: TrunkConfig
}

/** A layer of an adapter and the weight that it changes. */
export interface MatchedLayer {
  readonly layer: AdapterLayer
  readonly weight: string
}

/** Which weights of a model an adapter changes. */
export interface AdapterMatch {
  readonly matched: ReadonlyMap<AdapterTarget, readonly MatchedLayer[]>
  /** Layers that name nothing in the model, as the file spells them. */
  readonly unmatched: readonly string[]
}

/**
 * Finds the weights that an adapter's layers mean, by diffusers' names, kohya's joined names of them, and kohya's joined
 * names of the original blocks (SDXL).
 * @throws SwiftdError INVALID_WEIGHTS if a layer's shape does not fit its weight, or if no layer matches at all
 */
export function matchAdapter(adapter: Adapter, hosts: readonly AdapterHost[]): AdapterMatch {
  const lookups = new Map(hosts.map((host) => [host.target, lookupOf(host)]))
  const matched = new Map<AdapterTarget, MatchedLayer[]>()
  const unmatched: string[] = []
  for (const layer of adapter.layers) {
    const weight = lookups.get(layer.target)?.(layer)
    if (!weight) {
      unmatched.push(`${layer.target}: ${layer.module}`)
      continue
    }
    checkShape(adapter, layer, weight)
    const layers = matched.get(layer.target) ?? []
    layers.push({ layer, weight: weight.name })
    matched.set(layer.target, layers)
  }
  if (matched.size === 0) {
    const example = unmatched.slice(0, 2).join('", "')
    const sentence = `${adapter.path} is for another architecture: none of its ${adapter.layers.length} layers ("${example}") is in the model.`
    throw new SwiftdError('INVALID_WEIGHTS', sentence)
  }
  return { matched, unmatched }
}

function lookupOf({ weights, trunk }: AdapterHost): (layer: AdapterLayer) => WeightShape | undefined {
  const plain = new Map(weights.map((weight) => [weight.name, weight]))
  const joined = new Map(weights.map((weight) => [joinName(weight.name), weight]))
  if (trunk) {
    const original = originalTrunkNames(trunk, '')
    for (const weight of weights) joined.set(joinName(original(weight.name).name), weight)
  }
  return (layer) => (layer.joined ? joined.get(layer.module) : plain.get(`${layer.module}.weight`))
}

/** kohya's spelling of a module: its dots become underscores. */
function joinName(weight: string): string {
  return weight.replace(/\.weight$/, '').replaceAll('.', '_')
}

function checkShape(adapter: Adapter, { module, up, down, rank }: AdapterLayer, { name, dims }: WeightShape): void {
  const [rows, columns] = [dims[0], elementCount(dims) / dims[0]]
  if (up.dims[0] === rows && elementCount(down.dims) === rank * columns) return
  const made = `${up.dims[0]} x ${elementCount(down.dims) / rank}`
  const sentence = `${adapter.path} is for another architecture: its layer "${module}" is ${made}, but the model's "${name}" ${rows} x ${columns}.`
  throw new SwiftdError('INVALID_WEIGHTS', sentence)
}
