import { SwiftdError } from '../../src/engine/errors.js'
import type { Precision } from '../../src/engine/graph/target.js'
import type { Provider, ProviderName } from '../../src/engine/ort/provider.js'
import type { GoldenCase, GoldenFamily, Goldens } from './goldens.js'
import type { Measurement, Tensor } from './measure.js'

/** What a kind is given for one case. */
export interface ParityContext {
  readonly goldens: Goldens
  readonly family: GoldenFamily
  /** The case with all its parameters; parse the ones you need with a schema of your own. */
  readonly case: GoldenCase
  /** The tensor of an input role; it must have exactly one. */
  input(role: string): Tensor
  /** All tensors of an input role, in order; none where the case does not have the role. */
  inputs(role: string): Tensor[]
  /** The tensor of an output role; it must have exactly one. */
  output(role: string): Tensor
  /** All tensors of an output role, in order; none where the case does not have the role. */
  outputs(role: string): Tensor[]
  readonly device: ParityDevice
  /**
   * Something expensive that the cases of one family share (a session, a loaded model): created at the first call with
   * `key`, disposed after the family's last case, in reverse order of creation. A creation that fails is tried again.
   */
  resource<T>(key: string, create: () => T | Promise<T>, dispose: (value: T) => void | Promise<void>): Promise<T>
}

/** What a parity run computes with. */
export interface ParityDevice {
  readonly provider?: ProviderName | Provider
  readonly precision?: Precision
}

export type KindResult = { readonly measurements: readonly Measurement[] } | { readonly skipped: string }

/** Runs one case through the engine and measures what came out, or says why it cannot. An error fails the case. */
export type ParityKind = (context: ParityContext) => Promise<KindResult>

/** The shared resources of one family. */
export interface Resources {
  readonly get: ParityContext['resource']
  disposeAll(): Promise<void>
}

export function createResources(): Resources {
  const values = new Map<string, Promise<unknown>>()
  const disposals: (() => Promise<void>)[] = []
  return {
    get: async (key, create, dispose) => {
      const existing = values.get(key)
      if (existing) return existing as ReturnType<typeof create>
      const creating = (async () => create())()
      values.set(key, creating)
      try {
        const value = await creating
        disposals.push(async () => dispose(value))
        return value
      } catch (error) {
        values.delete(key)
        throw error
      }
    },
    async disposeAll() {
      for (const dispose of disposals.splice(0).reverse()) await dispose()
      values.clear()
    },
  }
}

export function createContext(
  goldens: Goldens,
  family: GoldenFamily,
  golden: GoldenCase,
  resources: Resources,
  device: ParityDevice,
): ParityContext {
  const all = (roles: GoldenCase['inputs'], role: string): Tensor[] => {
    const names = roles[role] ?? []
    const file = golden.file
    if (file === undefined) return []
    return (Array.isArray(names) ? names : [names]).map((name) => goldens.tensor(family, file, name))
  }
  const one = (roles: GoldenCase['inputs'], role: string): Tensor => {
    const [tensor, ...rest] = all(roles, role)
    if (tensor && rest.length === 0) return tensor
    const count = rest.length + (tensor ? 1 : 0)
    throw new SwiftdError('INVALID_REQUEST', `The case ${golden.id} has ${count} tensors for "${role}", expected one.`)
  }
  return {
    goldens,
    family,
    case: golden,
    device,
    input: (role) => one(golden.inputs, role),
    inputs: (role) => all(golden.inputs, role),
    output: (role) => one(golden.outputs, role),
    outputs: (role) => all(golden.outputs, role),
    resource: resources.get,
  }
}
