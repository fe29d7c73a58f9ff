import type { Pointer } from '../memory/libc.js'
import { ortApi } from './api.js'
import { createBinding, type Binding } from './binding.js'
import type { Environment } from './environment.js'
import { own, outPointer, type NativeHandle } from './native.js'

/** A compiled graph. It holds no weights: they are inputs, and a binding gives them. */
export interface Session extends NativeHandle {
  /** A new set of bound inputs and outputs; release it before the session. */
  createBinding(): Binding
}

export interface SessionSettings {
  /** Where the graph is written as the runtime runs it, with the copies between devices that it put in; for tests. */
  readonly optimizedModelPath?: string
  /** Names of nodes that the host is to compute, where the provider allows to choose. */
  readonly hostNodes?: readonly string[]
  /**
   * Whether the graph widens weights. The runtime plans its memory anew for the second run of a shape, beside what it has: for
   * widened weights that would double what a run takes.
   */
  readonly widensWeights?: boolean
}

const ENABLE_ALL_OPTIMISATIONS = 99

/**
 * Compiles a graph (ONNX ModelProto bytes) for the environment's device, on another thread.
 * @throws OrtError with the runtime's message if the graph is not valid or the provider cannot be used
 */
export async function openSession(
  environment: Environment,
  model: Uint8Array,
  settings: SessionSettings = {},
): Promise<Session> {
  const { provider, exclusive } = environment
  const compile = () => createSession(environment, model, settings)
  const pointer = provider.concurrent ? await compile() : await exclusive(compile)
  const handle = own('session', pointer, (session) => environment.free(() => ortApi().ReleaseSession(session)))
  return {
    get pointer() {
      return handle.pointer
    },
    release: () => handle.release(),
    createBinding: () => createBinding(handle, environment),
  }
}

async function createSession(
  { pointer: environment, provider }: Environment,
  model: Uint8Array,
  { optimizedModelPath, hostNodes = [], widensWeights = false }: SessionSettings,
): Promise<Pointer> {
  const api = ortApi()
  const options = outPointer((out) => api.CreateSessionOptions(out))
  try {
    api.DisablePerSessionThreads(options)
    api.SetSessionGraphOptimizationLevel(options, ENABLE_ALL_OPTIMISATIONS)
    if (widensWeights) api.DisableMemPattern(options)
    if (optimizedModelPath !== undefined) api.SetOptimizedModelFilePath(options, optimizedModelPath)
    provider.append(options, hostNodes)
    const out: [Pointer | null] = [null]
    await api.CreateSessionFromArray.async(environment, model, model.byteLength, options, out)
    return outPointer((result) => (result[0] = out[0]))
  } finally {
    api.ReleaseSessionOptions(options)
  }
}
