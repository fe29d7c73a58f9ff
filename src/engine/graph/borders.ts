import { DATA_TYPES, type Dim, type GraphBuilder, type Value } from './builder.js'
import type { ElementType } from '../tensor.js'
import { typesOf } from './target.js'

/**
 * What crosses a graph's border. The host's tensors are float32, whatever a graph computes in; what one graph leaves on the
 * device for another one has the type of the target's values.
 */

/** An input that the host gives, in the type of values. */
export function fromHost(g: GraphBuilder, name: string, dims: readonly Dim[]): Value {
  return toValues(g, g.input(name, 'float32', dims))
}

/** An input that another graph left on the device. */
export function fromDevice(g: GraphBuilder, name: string, dims: readonly Dim[]): Value {
  return g.input(name, typesOf(g.target).values, dims)
}

/** An output that the host takes. */
export function toHost(g: GraphBuilder, name: string, value: Value, dims: readonly Dim[]): void {
  g.output(name, toFloat32(g, value), dims)
}

/** An output that stays on the device for another graph. */
export function toDevice(g: GraphBuilder, name: string, value: Value, dims: readonly Dim[]): void {
  g.output(name, value, dims, typesOf(g.target).values)
}

/** A float32 value in the type of values. */
export function toValues(g: GraphBuilder, value: Value): Value {
  return convert(g, value, 'float32', typesOf(g.target).values)
}

/** What has the type of values in float32. */
export function toFloat32(g: GraphBuilder, value: Value): Value {
  return convert(g, value, typesOf(g.target).values, 'float32')
}

/** A value of one type in another one; itself where they are the same. */
export function convert(g: GraphBuilder, value: Value, from: ElementType, to: ElementType): Value {
  return from === to ? value : g.node('Cast', [value], { attributes: { to: DATA_TYPES[to] } })
}
