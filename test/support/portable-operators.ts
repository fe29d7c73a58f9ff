import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { DATA_TYPES, type Graph } from '../../src/engine/graph/builder.js'
import {
  AttributeProto_AttributeType as AttributeType,
  ModelProtoSchema,
  NodeProtoSchema,
  type AttributeProto,
  type ModelProto,
  type NodeProto,
} from '../../src/engine/graph/onnx_pb.js'
import type { FloatType } from '../../src/engine/graph/target.js'

/**
 * The runtime's fused operators that only GPUs have, spelled out in ONNX's operators after their documentation
 * (docs/ContribOperators.md), so that a CPU computes what a GPU would.
 * @param values the type that the graph computes in
 */
export function withPortableOperators(graph: Graph, values: FloatType): Graph {
  return edited(graph, (model) => {
    if (!model.graph) return
    model.graph.node = model.graph.node.flatMap((node) => {
      if (node.opType === 'GroupNorm' || node.opType === 'SkipGroupNorm') return groupNorm(node, values)
      return node.opType === 'BiasSplitGelu' ? biasSplitGelu(node) : [node]
    })
  })
}

/** A graph with its protobuf message changed. */
export function edited(graph: Graph, edit: (model: ModelProto) => void): Graph {
  const model = fromBinary(ModelProtoSchema, graph.model)
  edit(model)
  return { ...graph, model: toBinary(ModelProtoSchema, model) }
}

/** Collects the nodes that stand for one. */
function replacement(node: NodeProto) {
  const nodes: NodeProto[] = []
  const add = (
    opType: string,
    input: string[],
    attributes: Attributes = {},
    output = [`${node.name}/${nodes.length}`],
  ) => {
    const attribute = Object.entries(attributes).map(([name, value]) => ({ name, ...value }))
    nodes.push(
      create(NodeProtoSchema, { opType, name: `${node.name}/${opType}/${nodes.length}`, input, output, attribute }),
    )
    return output[0]
  }
  const ints = (...values: number[]): string => add('Constant', [], { value_ints: intsOf(...values) })
  return { nodes, add, ints }
}

type Attributes = Record<string, Partial<Pick<AttributeProto, 'f' | 'i' | 'ints' | 'type'>>>
const intOf = (value: number) => ({ i: BigInt(value), type: AttributeType.INT })
const intsOf = (...values: number[]) => ({ ints: values.map(BigInt), type: AttributeType.INTS })

/** (N, H, W, C); sums, affine part and SiLU in float32, as the GPU's kernel has them. */
function groupNorm(node: NodeProto, values: FloatType): NodeProto[] {
  const attribute = (name: string): AttributeProto | undefined => node.attribute.find((each) => each.name === name)
  const { nodes, add, ints } = replacement(node)
  const [x, gamma, beta, skip] = node.input
  const sum = skip ? add('Add', [x, add('Unsqueeze', [skip, ints(1, 2)])]) : x
  const groups = Number(attribute('groups')?.i)
  const single = add('Cast', [sum], { to: intOf(DATA_TYPES.float32) })
  const grouped = add('Reshape', [single, ints(0, 0, 0, groups, -1)])
  const mean = (value: string): string => add('ReduceMean', [value, ints(1, 2, 4)])
  const centred = add('Sub', [grouped, mean(grouped)])
  const epsilon = add('Constant', [], { value_float: { f: attribute('epsilon')?.f ?? 0, type: AttributeType.FLOAT } })
  const deviation = add('Sqrt', [add('Add', [mean(add('Mul', [centred, centred])), epsilon])])
  const normal = add('Reshape', [add('Div', [centred, deviation]), add('Shape', [x])])
  const affine = add('Add', [add('Mul', [normal, gamma]), beta])
  const active = attribute('activation')?.i === 1n ? add('Mul', [affine, add('Sigmoid', [affine])]) : affine
  add('Cast', [active], { to: intOf(DATA_TYPES[values]) }, node.output)
  return nodes
}

/** The first half of x + bias times the exact GELU of the second half. */
function biasSplitGelu(node: NodeProto): NodeProto[] {
  const { nodes, add } = replacement(node)
  const [left, right] = [`${node.name}/left`, `${node.name}/right`]
  add('Split', [add('Add', node.input)], { axis: intOf(-1), num_outputs: intOf(2) }, [left, right])
  add('Mul', [left, add('Gelu', [right])], {}, node.output)
  return nodes
}
