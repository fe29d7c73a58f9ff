import { DATA_TYPES, type Dim, type GraphBuilder, type Value } from './builder.js'
import type { ElementType } from '../tensor.js'

/**
 * What crosses a graph's border. The host's tensors are float32, whatever a graph computes in; what one graph leaves on the
 * device for another one has the target's precision.
 */

/** An input that the host gives, in the target's precision. */
export function fromHost(g: GraphBuilder, name: string, dims: readonly Dim[]): Value {
  return toPrecision(g, g.input(name, 'float32', dims))
}

/** An input that another graph left on the device. */
export function fromDevice(g: GraphBuilder, name: string, dims: readonly Dim[]): Value {
  return g.input(name, g.target.precision, dims)
}

/** An output that the host takes. */
export function toHost(g: GraphBuilder, name: string, value: Value, dims: readonly Dim[]): void {
  g.output(name, toFloat32(g, value), dims)
}

/** An output that stays on the device for another graph. */
export function toDevice(g: GraphBuilder, name: string, value: Value, dims: readonly Dim[]): void {
  g.output(name, value, dims, g.target.precision)
}

/** A float32 value in the target's precision. */
export function toPrecision(g: GraphBuilder, value: Value): Value {
  return g.target.precision === 'float32' ? value : cast(g, value, g.target.precision)
}

/** A value of the target's precision in float32. */
export function toFloat32(g: GraphBuilder, value: Value): Value {
  return g.target.precision === 'float32' ? value : cast(g, value, 'float32')
}

export function cast(g: GraphBuilder, value: Value, type: ElementType): Value {
  return g.node('Cast', [value], { attributes: { to: DATA_TYPES[type] } })
}
