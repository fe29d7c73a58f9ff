import type { Graph } from '../graph/builder.js'
import type { GraphTarget } from '../graph/target.js'
import type { Binding } from '../ort/binding.js'
import type { CompiledGraph, GraphCache } from './graph-cache.js'

/** Bindings without weights, one for each graph that was asked for; released together. */
export interface BindingSet {
  of(kind: string, config: object, build: (target: GraphTarget) => Graph): Promise<Binding>
  release(): void
}

export function createBindingSet(graphs: GraphCache): BindingSet {
  const bindings = new Map<CompiledGraph, Binding>()
  return {
    async of(kind, config, build) {
      const compiled = await graphs.open(kind, config, build)
      const binding = bindings.get(compiled) ?? compiled.session.createBinding()
      bindings.set(compiled, binding)
      return binding
    },
    release: () => bindings.forEach((binding) => binding.release()),
  }
}
