import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType as AttributeType,
  ModelProtoSchema,
  type AttributeProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from './onnx_pb.js'
import type { WeightShape } from '../weights/weights.js'
import type { ElementType } from '../tensor.js'
import { toHalves } from './half.js'
import { PORTABLE, typesOf, weightType, type FloatType, type GraphTarget } from './target.js'

/** A value that flows in a graph, by its name. */
export type Value = string

/** A dim is a number, or a name for a size that is only known when the graph runs. */
export type Dim = number | string

/** A finished graph: the bytes to compile, and what has to be bound. */
export interface Graph {
  /** ONNX ModelProto. */
  readonly model: Uint8Array
  /** What has to be bound, with the name and shape that the model file's tensor has. */
  readonly weights: readonly GraphWeight[]
  readonly outputs: readonly string[]
  /** The names of the nodes that the host is to compute. */
  readonly hostNodes: readonly string[]
  /** Whether weights are kept in another type than that of values. */
  readonly widensWeights: boolean
}

/** A weight, and how the device keeps it. */
export interface GraphWeight extends WeightShape {
  readonly type: FloatType
}

type Constants = Float32Array | Uint16Array | BigInt64Array
type Attribute = number | string | readonly number[]

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** Attributes that the operator declares as floats, whatever their value. */
  readonly floats?: Readonly<Record<string, number>>
  /** Whether it is to be computed by the host where the provider allows to choose. @default false */
  readonly onHost?: boolean
  /** 'com.microsoft' for the runtime's own operators. */
  readonly domain?: string
}

/** Collects nodes; every method that computes gives the name of its result. */
export interface GraphBuilder {
  readonly target: GraphTarget
  input(name: string, type: ElementType, dims: readonly Dim[]): Value
  /** A weight is an input too: bound, not compiled in. Asking twice gives the same value, which has the type of values. */
  weight(name: string, dims: readonly number[]): Value
  /** A weight as the device keeps it, for what reads a few of its rows only. */
  storedWeight(name: string, dims: readonly number[]): Value
  /** @param type @default that of values */
  floats(values: readonly number[], dims?: readonly number[], type?: FloatType): Value
  ints(values: readonly number[]): Value
  node(operator: string, inputs: readonly Value[], options?: NodeOptions): Value
  nodes(operator: string, inputs: readonly Value[], outputCount: number, options?: NodeOptions): Value[]
  /** @param type @default float32 */
  output(name: string, value: Value, dims: readonly Dim[], type?: ElementType): void
  build(): Graph
}

/** ONNX's TensorProto.DataType. */
export const DATA_TYPES: Readonly<Record<ElementType, number>> = { float32: 1, int64: 7, float16: 10, bfloat16: 16 }

const IR_VERSION = 10n
const ONNX_OPSET = 20n
const MICROSOFT_OPSET = 1n

/** @param target what the graph is for: it gives the types of weights and constants */
export function createGraphBuilder(graphName: string, target: GraphTarget = PORTABLE): GraphBuilder {
  const types = typesOf(target)
  const nodes: MessageInitShape<typeof NodeProtoSchema>[] = []
  const inputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = []
  const outputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = []
  const initializers: MessageInitShape<typeof TensorProtoSchema>[] = []
  const constants = new Map<string, Value>()
  const weights = new Map<string, GraphWeight>()
  const widenedWeights = new Map<string, Value>()
  const outputNames = new Map<Value, string>()
  const hostNodes: string[] = []
  let counter = 0

  const addNode = (operator: string, args: readonly Value[], outs: Value[], options: NodeOptions = {}): void => {
    const name = `${operator}_${nodes.length}`
    if (options.onHost) hostNodes.push(name)
    nodes.push(nodeOf(operator, name, args, outs, options))
  }
  const fresh = (operator: string): Value => `${operator}#${counter++}`
  const constant = (type: ElementType, dims: readonly number[], values: Constants): Value => {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    const key = `${type}:${dims.join()}:${Buffer.from(bytes).toString('base64')}`
    const known = constants.get(key)
    if (known) return known
    const name = fresh('const')
    initializers.push({ name, dataType: DATA_TYPES[type], dims: dims.map(BigInt), rawData: bytes })
    constants.set(key, name)
    return name
  }

  const storedWeight = (name: string, dims: readonly number[]): Value => {
    if (!weights.has(name)) {
      const type = weightType(target, dims)
      weights.set(name, { name, dims, type })
      inputs.push(valueInfo(name, DATA_TYPES[type], dims))
    }
    return name
  }

  return {
    target,
    input(name, type, dims) {
      inputs.push(valueInfo(name, DATA_TYPES[type], dims))
      return name
    },
    weight(name, dims) {
      const stored = storedWeight(name, dims)
      if (weightType(target, dims) === types.values) return stored
      const widened = widenedWeights.get(name) ?? fresh('Widened')
      widenedWeights.set(name, widened)
      return widened
    },
    storedWeight,
    floats(values, dims = [values.length], type = types.values) {
      return constant(type, dims, type === 'float32' ? Float32Array.from(values) : toHalves(values))
    },
    ints: (values) => constant('int64', [values.length], BigInt64Array.from(values, BigInt)),
    node(operator, args, options) {
      const out = fresh(operator)
      addNode(operator, args, [out], options)
      return out
    },
    nodes(operator, args, outputCount, options) {
      const outs = Array.from({ length: outputCount }, () => fresh(operator))
      addNode(operator, args, outs, options)
      return outs
    },
    output(name, value, dims, type = 'float32') {
      // The value itself becomes the output: an Identity node would copy it at every run.
      if (outputNames.has(value)) throw new Error(`${value} is an output already.`)
      outputNames.set(value, name)
      outputs.push(valueInfo(name, DATA_TYPES[type], dims))
    },
    build() {
      // Of a node's inputs the runtime computes those first that come last in the list. Here weights come first, so each is widened
      // when it is read; behind the values that it is multiplied with, all would be widened before anything is computed.
      const to = { attributes: { to: DATA_TYPES[types.values] } }
      const widenings = [...widenedWeights].map(([name, value]) => nodeOf('Cast', `Widen_${name}`, [name], [value], to))
      const ordered = [...widenings, ...nodes]
      const rename = (value: string): string => outputNames.get(value) ?? value
      for (const node of ordered) {
        node.input = node.input?.map(rename)
        node.output = node.output?.map(rename)
      }
      const model = create(ModelProtoSchema, {
        irVersion: IR_VERSION,
        producerName: 'swiftd',
        opsetImport: [
          { domain: '', version: ONNX_OPSET },
          { domain: 'com.microsoft', version: MICROSOFT_OPSET },
        ],
        graph: { name: graphName, node: ordered, input: inputs, output: outputs, initializer: initializers },
      })
      return {
        model: toBinary(ModelProtoSchema, model),
        weights: [...weights.values()],
        outputs: outputs.map((output) => output.name ?? ''),
        hostNodes,
        widensWeights: widenedWeights.size > 0,
      }
    },
  }
}

function nodeOf(
  operator: string,
  name: string,
  args: readonly Value[],
  outs: readonly Value[],
  options: NodeOptions,
): MessageInitShape<typeof NodeProtoSchema> {
  return {
    opType: operator,
    name,
    input: [...args],
    output: [...outs],
    attribute: attributesOf(options),
    domain: options.domain ?? '',
  }
}

function attributesOf({ attributes = {}, floats = {} }: NodeOptions): MessageInitShape<typeof AttributeProtoSchema>[] {
  return [
    ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    ...Object.entries(floats).map(([name, f]) => ({ name, f, type: AttributeType.FLOAT })),
  ]
}

function attribute(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === 'number') return { name, i: BigInt(value), type: AttributeType.INT }
  if (typeof value === 'string') return { name, s: new TextEncoder().encode(value), type: AttributeType.STRING }
  return { name, ints: value.map(BigInt), type: AttributeType.INTS }
}

function valueInfo(
  name: string,
  elemType: number,
  dims: readonly Dim[],
): MessageInitShape<typeof ValueInfoProtoSchema> {
  const dim = dims.map((size) =>
    typeof size === 'number'
      ? { value: { case: 'dimValue' as const, value: BigInt(size) } }
      : { value: { case: 'dimParam' as const, value: size } },
  )
  return { name, type: { tensorType: { elemType, shape: { dim } } } }
}
