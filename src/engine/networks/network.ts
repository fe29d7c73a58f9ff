import { SwiftdError } from '../errors.js'
import type { Graph } from '../graph/builder.js'
import type { Binding } from '../ort/binding.js'
import type { DeviceTensor } from '../ort/value.js'
import type { NativeTensor } from '../tensor.js'
import type { Weights } from '../weights/weights.js'
import { loadWeights, type DeviceWeights } from './device-weights.js'
import type { CompiledGraph, GraphCache } from './graph-cache.js'

/** The graphs of one network, with the weights of one file bound. */
export interface BoundNetwork {
  /** One for each graph. */
  readonly bindings: readonly Binding[]
  readonly weights: DeviceWeights
  release(): void
}

/**
 * Gives the device the weights that the graphs read, and binds them.
 * @param file must stay open until they are released
 * @throws SwiftdError INVALID_WEIGHTS that names the tensors that are missing or have another shape
 */
export async function bindNetwork(
  graphs: GraphCache,
  file: Weights,
  compiled: readonly CompiledGraph[],
): Promise<BoundNetwork> {
  const weights = await loadWeights(graphs, file, compiled)
  const bindings: Binding[] = []
  const release = (): void => {
    bindings.forEach((binding) => binding.release())
    weights.release()
  }
  try {
    for (const each of compiled) bindings.push(bindWeights(each, weights))
    return { bindings, weights, release }
  } catch (error) {
    release()
    throw error
  }
}

/**
 * Binds a file's weights to a compiled graph. Nothing is copied: the runtime reads them where they are.
 * The weights must stay until the binding is released.
 */
function bindWeights({ graph, session }: CompiledGraph, weights: DeviceWeights): Binding {
  const found: [name: string, tensor: DeviceTensor][] = []
  const problems: string[] = []
  for (const { name, dims } of graph.weights) {
    const tensor = weights.find(name)
    if (!tensor) problems.push(`"${name}" is missing`)
    else if (!sameDims(tensor.dims, dims))
      problems.push(`"${name}" is [${tensor.dims.join()}] where [${dims.join()}] belongs`)
    else found.push([name, tensor])
  }
  if (problems.length > 0) throw mismatch(weights.path, problems, graph.weights.length)

  const binding = session.createBinding()
  try {
    for (const [name, tensor] of found) binding.bindInput(name, tensor)
    return binding
  } catch (error) {
    binding.release()
    throw error
  }
}

/** Whether two shapes are equal. */
export function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a === b || (a.length === b.length && a.every((dim, axis) => dim === b[axis]))
}

function mismatch(path: string, problems: string[], total: number): SwiftdError {
  const shown = problems.slice(0, 3).join(', ')
  const more = problems.length > 3 ? `, and ${problems.length - 3} more` : ''
  return new SwiftdError(
    'INVALID_WEIGHTS',
    `${path} does not fit its config.json: of ${total} tensors, ${shown}${more}. Check that both are of the same model.`,
  )
}

/** Remembers what was bound last, so that a step binds again only what changed. */
export function createBinder(
  bind: (name: string, tensor: NativeTensor) => void,
): (name: string, tensor: NativeTensor) => void {
  const bound = new Map<string, NativeTensor>()
  return (name, tensor) => {
    const last = bound.get(name)
    if (last?.address === tensor.address && sameDims(last.dims, tensor.dims)) return
    bind(name, tensor)
    bound.set(name, tensor)
  }
}

/** Binds all outputs of a graph, in a fixed order, and again only when one of them changed. */
export function createOutputBinder(
  binding: Pick<Binding, 'bindOutput' | 'clearOutputs'>,
  names: readonly string[],
): (tensors: readonly NativeTensor[]) => void {
  let bound: readonly NativeTensor[] = []
  const isBound = ({ address, dims }: NativeTensor, index: number): boolean =>
    bound[index]?.address === address && sameDims(bound[index].dims, dims)
  return (tensors) => {
    if (tensors.every(isBound)) return
    binding.clearOutputs()
    names.forEach((name, index) => binding.bindOutput(name, tensors[index]))
    bound = tensors
  }
}

/** The names of the weights that a graph reads. */
export function weightNames({ weights }: Graph): ReadonlySet<string> {
  return new Set(weights.map(({ name }) => name))
}
