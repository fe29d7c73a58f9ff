import { fromBinary } from '@bufbuild/protobuf'
import type { Graph } from '../src/engine/graph/builder.js'
import {
  ModelProtoSchema,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from '../src/engine/graph/onnx_pb.js'

/** The shape of a value in a graph, and its elements where they are sizes or axes that shapes are made of. */
interface ShapedValue {
  readonly dims: readonly number[]
  readonly elements?: readonly number[]
}

/** A node with the shapes that it computes on. */
export interface ShapedNode {
  readonly operator: string
  readonly inputs: readonly (readonly number[])[]
  readonly outputs: readonly (readonly number[])[]
  /** An attribute that is a whole number. */
  readonly integer: (name: string, otherwise?: number) => number
}

/**
 * The shapes of all values of a graph, as ONNX defines the operators. It knows those that portable graphs are made of
 * (src/engine/graph).
 * @param sizes of the graph's symbolic dims, such as N, h and w
 * @throws Error for a dim without a size, and for an operator that it does not know
 */
export function inferShapes({ model }: Graph, sizes: Readonly<Record<string, number>>): ShapedNode[] {
  const { graph } = fromBinary(ModelProtoSchema, model)
  if (!graph) throw new Error('The model has no graph.')
  const values = knownValues(graph, sizes)
  return graph.node.map((node) => {
    const inputs = node.input.map((name): ShapedValue => (name === '' ? { dims: [] } : find(values, name)))
    const rule = RULES[node.opType]
    if (!rule) throw new Error(`The shapes of the operator ${node.opType} are not known.`)
    const integer = integerOf(node)
    const outputs = rule(inputs, { integer, integers: integersOf(node) }, node.output.length)
    node.output.forEach((name, index) => values.set(name, outputs[index]))
    const dimsOf = (each: readonly ShapedValue[]) => each.map(({ dims }) => dims)
    return { operator: node.opType, inputs: dimsOf(inputs), outputs: dimsOf(outputs), integer }
  })
}

function knownValues(graph: GraphProto, sizes: Readonly<Record<string, number>>): Map<string, ShapedValue> {
  return new Map<string, ShapedValue>([
    ...graph.input.map((input) => [input.name, { dims: inputDims(input, sizes) }] as const),
    ...graph.initializer.map((tensor) => [tensor.name, constant(tensor)] as const),
  ])
}

function inputDims({ name, type }: ValueInfoProto, sizes: Readonly<Record<string, number>>): number[] {
  return (type?.tensorType?.shape?.dim ?? []).map(({ value }) => {
    if (value.case === 'dimValue') return Number(value.value)
    const size = sizes[value.value ?? '']
    if (size === undefined) throw new Error(`The input ${name} has the dim ${value.value}, which no size is given for.`)
    return size
  })
}

/** ONNX's TensorProto.DataType. */
const [FLOAT32, INT64] = [1, 7]

function constant({ dims: longs, dataType, rawData }: TensorProto): ShapedValue {
  const dims = longs.map(Number)
  const bytes = rawData.slice().buffer
  if (dataType === INT64) return { dims, elements: Array.from(new BigInt64Array(bytes), Number) }
  return dataType === FLOAT32 ? { dims, elements: Array.from(new Float32Array(bytes)) } : { dims }
}

function find(values: ReadonlyMap<string, ShapedValue>, name: string): ShapedValue {
  const found = values.get(name)
  if (!found) throw new Error(`The value ${name} is read before it is computed.`)
  return found
}

interface Attributes {
  readonly integer: ShapedNode['integer']
  readonly integers: (name: string) => readonly number[]
}

function integerOf({ opType, attribute }: NodeProto): ShapedNode['integer'] {
  return (name, otherwise) => {
    const found = attribute.find((each) => each.name === name)
    if (found) return Number(found.i)
    if (otherwise === undefined) throw new Error(`The operator ${opType} lacks its attribute ${name}.`)
    return otherwise
  }
}

function integersOf({ attribute }: NodeProto): Attributes['integers'] {
  return (name) => attribute.find((each) => each.name === name)?.ints.map(Number) ?? []
}

type Rule = (inputs: readonly ShapedValue[], attributes: Attributes, outputCount: number) => ShapedValue[]

const same: Rule = ([first]) => [{ dims: first.dims }]

const broadcast: Rule = (inputs) => [{ dims: inputs.map(({ dims }) => dims).reduce(broadcastDims) }]

const RULES: Readonly<Partial<Record<string, Rule>>> = {
  ...Object.fromEntries(
    ['Cast', 'Cos', 'Gelu', 'Identity', 'QuickGelu', 'Sin', 'Softmax'].map((operator) => [operator, same]),
  ),
  InstanceNormalization: same,
  LayerNormalization: same,
  Add: broadcast,
  Mul: broadcast,
  Concat: (inputs, { integer }) => {
    const [{ dims }] = inputs
    const axis = axisOf(integer('axis'), dims.length)
    const joined = dims.with(
      axis,
      inputs.reduce((sum, each) => sum + each.dims[axis], 0),
    )
    const elements = inputs.flatMap((each) => each.elements ?? [])
    return [{ dims: joined, ...(inputs.every((each) => each.elements) && { elements }) }]
  },
  Conv: ([x, weight], { integers }) => {
    const [strides, pads] = [integers('strides'), integers('pads')]
    const sides = x.dims.slice(2).map((side, axis) => {
      const padded = side + pads[axis] + pads[axis + 2]
      return Math.floor((padded - weight.dims[2 + axis]) / strides[axis]) + 1
    })
    return [{ dims: [x.dims[0], weight.dims[0], ...sides] }]
  },
  Expand: ([x, shape]) => [{ dims: broadcastDims(x.dims, elementsOf(shape)) }],
  Gather: ([data, indices]) => [{ dims: [...indices.dims, ...data.dims.slice(1)] }],
  GatherND: ([data, indices], { integer }) => {
    const depth = indices.dims[indices.dims.length - 1] + integer('batch_dims', 0)
    return [{ dims: [...indices.dims.slice(0, -1), ...data.dims.slice(depth)] }]
  },
  Gemm: ([a, b], { integer }) => [{ dims: [a.dims[0], b.dims[integer('transB', 0) ? 0 : 1]] }],
  MatMul: ([a, b]) => {
    const batch = broadcastDims(a.dims.slice(0, -2), b.dims.slice(0, -2))
    return [{ dims: [...batch, a.dims[a.dims.length - 2], b.dims[b.dims.length - 1]] }]
  },
  MultiHeadAttention: ([query, , value]) => [{ dims: [...query.dims.slice(0, 2), value.dims[2]] }],
  ReduceSum: (_, { integer }) => {
    if (integer('keepdims', 1) !== 0) throw new Error('The shapes of a ReduceSum that keeps dims are not known.')
    return [{ dims: [] }]
  },
  Reshape: ([x, shape]) => [{ dims: reshaped(x.dims, elementsOf(shape)) }],
  Resize: ([x, , scales, sizes], { integers }) => {
    const axes = integers('axes')
    const sides = sizes ? elementsOf(sizes) : elementsOf(scales).map((scale, index) => scale * x.dims[axes[index]])
    return [{ dims: axes.reduce<readonly number[]>((dims, axis, index) => dims.with(axis, sides[index]), x.dims) }]
  },
  Shape: ([x], { integer }) => {
    const elements = x.dims.slice(integer('start', 0), integer('end', x.dims.length))
    return [{ dims: [elements.length], elements }]
  },
  Slice: ([x, starts, ends, axes]) => {
    const [begins, stops] = [elementsOf(starts), elementsOf(ends)]
    const sides = elementsOf(axes).map((axis, index) => [axis, stops[index] - begins[index]] as const)
    return [{ dims: sides.reduce<readonly number[]>((dims, [axis, side]) => dims.with(axis, side), x.dims) }]
  },
  Split: ([x], { integer }, count) => {
    const axis = axisOf(integer('axis'), x.dims.length)
    return Array.from({ length: count }, () => ({ dims: x.dims.with(axis, x.dims[axis] / count) }))
  },
  Transpose: ([x], { integers }) => [{ dims: integers('perm').map((axis) => x.dims[axis]) }],
  Unsqueeze: ([x, axes]) => [
    { dims: elementsOf(axes).reduce((dims, axis) => dims.toSpliced(axis, 0, 1), [...x.dims]) },
  ],
}

function elementsOf({ elements }: ShapedValue): readonly number[] {
  if (!elements) throw new Error('A shape follows from what is only known when the graph runs.')
  return elements
}

const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** As numpy broadcasts two shapes. */
function broadcastDims(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  const at = (dims: readonly number[], axis: number): number => dims[axis - rank + dims.length] ?? 1
  return Array.from({ length: rank }, (_, axis) => Math.max(at(a, axis), at(b, axis)))
}

/** In a wanted shape 0 is the same axis of the given one, and -1 what is left. */
function reshaped(dims: readonly number[], wanted: readonly number[]): number[] {
  const filled = wanted.map((dim, axis) => (dim === 0 ? dims[axis] : dim))
  const product = (each: readonly number[]): number => each.reduce((all, dim) => all * dim, 1)
  const rest = product(dims) / -product(filled)
  return filled.map((dim) => (dim === -1 ? rest : dim))
}
