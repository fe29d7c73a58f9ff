import { SwiftdError } from '../errors.js'
import type { Exclusive } from '../exclusive.js'
import type { Pointer } from '../memory/libc.js'
import { ortApi } from './api.js'
import type { Environment } from './environment.js'
import { own, outPointer, readPointers, type NativeHandle } from './native.js'
import type { NativeTensor } from '../tensor.js'
import { cpuMemoryInfo, withTensorValue } from './value.js'

/** A compiled graph. It holds no weights: they are inputs, and a binding gives them. */
export interface Session extends NativeHandle {
  /** A new set of bound inputs and outputs; release it before the session. */
  createBinding(): Binding
}

/** Inputs and outputs of a session, bound by name. One run at a time. */
export interface Binding {
  /** Binds memory as an input; it must stay valid while bound. */
  readonly bindInput: (name: string, tensor: NativeTensor) => void
  /** Binds a value that the runtime made (another session's output) as an input. */
  bindInputValue(name: string, value: NativeHandle): void
  /** Binds memory that receives an output; dims must be the output's. */
  bindOutput(name: string, tensor: NativeTensor): void
  /** Lets the runtime allocate an output; `takeOutputs` gives it. */
  bindRuntimeOutput(name: string): void
  /** Forgets all outputs, bound and computed. */
  clearOutputs(): void
  /**
   * Computes all bound outputs on another thread; the event loop stays free. Only where runs on the same
   * inputs usually take less than SHORT_RUN_MS, it stays on this thread. Runs of one device take turns.
   * @returns how long the call took without the wait for its turn, in milliseconds
   * @throws SwiftdError CANCELLED if `signal` aborts: the run stops in flight
   * @throws OrtError with the runtime's message
   */
  run(signal?: AbortSignal): Promise<{ runtimeMs: number }>
  /** As `run`, but beside whatever else the device computes: for work that must not wait for a whole step. */
  runBeside(signal?: AbortSignal): Promise<{ runtimeMs: number }>
  /** The same on this thread, for measurements: it blocks the event loop. */
  runBlocking(): void
  /** The outputs in the order in which they were bound, as values that the caller releases. */
  takeOutputs(): NativeHandle[]
  release(): void
}

/**
 * A hop to another thread and back costs about 0.1 to 0.3 ms where cores have to be woken: a tenth of the demo model's
 * runs. Blocking the event loop for so short a time delays nothing that anybody waits for.
 */
const SHORT_RUN_MS = 10

const ENABLE_ALL_OPTIMISATIONS = 99

/**
 * Compiles a graph (ONNX ModelProto bytes) for the CPU, on another thread.
 * @throws OrtError with the runtime's message if the graph is not valid
 */
export async function openSession(environment: Environment, model: Uint8Array): Promise<Session> {
  const api = ortApi()
  const options = outPointer((out) => api.CreateSessionOptions(out))
  try {
    api.DisablePerSessionThreads(options)
    api.SetSessionGraphOptimizationLevel(options, ENABLE_ALL_OPTIMISATIONS)
    const out: [Pointer | null] = [null]
    await api.CreateSessionFromArray.async(environment.pointer, model, model.byteLength, options, out)
    const pointer = outPointer((result) => (result[0] = out[0]))
    const handle = own('session', pointer, (session) => api.ReleaseSession(session))
    return {
      get pointer() {
        return handle.pointer
      },
      release: () => handle.release(),
      createBinding: () => createBinding(handle, environment.exclusive),
    }
  } finally {
    api.ReleaseSessionOptions(options)
  }
}

function createBinding(session: NativeHandle, exclusive: Exclusive): Binding {
  const api = ortApi()
  const binding = own(
    'binding',
    outPointer((out) => api.CreateIoBinding(session.pointer, out)),
    (pointer) => api.ReleaseIoBinding(pointer),
  )
  // What is bound anew may be larger: how long a run took says nothing of the next one then.
  let usualMs = Infinity
  const bindInput = (name: string, value: Pointer): void => {
    usualMs = Infinity
    api.BindInput(binding.pointer, name, value)
  }
  const run = async (signal?: AbortSignal): Promise<{ runtimeMs: number }> => {
    throwIfCancelled(signal)
    const short = usualMs < SHORT_RUN_MS
    const timing = short ? runShort(session, binding) : await runInterruptibly(session, binding, signal)
    // A running mean, so that one run on a busy machine does not change the mode.
    usualMs = usualMs === Infinity ? timing.runtimeMs : 0.8 * usualMs + 0.2 * timing.runtimeMs
    return timing
  }
  return {
    // The binding keeps a bound value alive by itself; ours goes at once.
    bindInput: (name, tensor) => withTensorValue(tensor, (value) => bindInput(name, value)),
    bindInputValue: (name, value) => bindInput(name, value.pointer),
    bindOutput: (name, tensor) => withTensorValue(tensor, (value) => api.BindOutput(binding.pointer, name, value)),
    bindRuntimeOutput: (name) => api.BindOutputToDevice(binding.pointer, name, cpuMemoryInfo()),
    clearOutputs: () => api.ClearBoundOutputs(binding.pointer),
    run: (signal) => exclusive(() => run(signal)),
    runBeside: (signal) => runInterruptibly(session, binding, signal),
    runBlocking: () => void runShort(session, binding),
    takeOutputs: () => takeOutputs(binding),
    release: () => binding.release(),
  }
}

/** Runs on this thread, where no signal can come in between: it needs no options to be stopped by. */
function runShort(session: NativeHandle, binding: NativeHandle): { runtimeMs: number } {
  const started = performance.now()
  ortApi().RunWithBinding(session.pointer, null, binding.pointer)
  return { runtimeMs: performance.now() - started }
}

/** Runs on another thread; the signal stops it in flight. */
async function runInterruptibly(
  session: NativeHandle,
  binding: NativeHandle,
  signal?: AbortSignal,
): Promise<{ runtimeMs: number }> {
  const options = createRunOptions()
  const terminate = (): void => ortApi().RunOptionsSetTerminate(options.pointer)
  signal?.addEventListener('abort', terminate, { once: true })
  const started = performance.now()
  try {
    await ortApi().RunWithBinding.async(session.pointer, options.pointer, binding.pointer)
    throwIfCancelled(signal)
    return { runtimeMs: performance.now() - started }
  } catch (error) {
    throwIfCancelled(signal, error)
    throw error
  } finally {
    signal?.removeEventListener('abort', terminate)
    options.release()
  }
}

function createRunOptions(): NativeHandle {
  const pointer = outPointer((out) => ortApi().CreateRunOptions(out))
  return own('run options', pointer, (options) => ortApi().ReleaseRunOptions(options))
}

function takeOutputs(binding: NativeHandle): NativeHandle[] {
  const api = ortApi()
  const allocator = outPointer((out) => api.GetAllocatorWithDefaultOptions(out))
  const array: [Pointer | null] = [null]
  const count: [number] = [0]
  api.GetBoundOutputValues(binding.pointer, allocator, array, count)
  if (array[0] === null) return []
  try {
    return readPointers(array[0], Number(count[0])).map((pointer) =>
      own('tensor', pointer, (value) => api.ReleaseValue(value)),
    )
  } finally {
    api.AllocatorFree(allocator, array[0])
  }
}

function throwIfCancelled(signal: AbortSignal | undefined, cause?: unknown): void {
  if (signal?.aborted) throw new SwiftdError('CANCELLED', 'The run was cancelled.', { cause })
}
