import { SwiftdError } from '../errors.js'
import type { Graph } from '../graph/builder.js'
import type { Binding, Session } from '../ort/session.js'
import type { NativeTensor } from '../tensor.js'
import type { Weights } from '../weights/weights.js'

/** A compiled graph. It is opened once per architecture and serves every file of that architecture. */
export interface CompiledGraph {
  readonly graph: Graph
  readonly session: Session
}

/**
 * Binds a file's weights to a compiled graph. Nothing is copied: the runtime reads the mapped pages.
 * The weights must stay open until the binding is released.
 * @throws SwiftdError INVALID_WEIGHTS that names the tensors that are missing or have another shape
 */
export function bindWeights({ graph, session }: CompiledGraph, weights: Weights): Binding {
  const found: [name: string, tensor: NativeTensor][] = []
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
