import { SwiftdError } from '../errors.js'
import type { Pointer } from '../memory/libc.js'
import { elementCount, tensorBytes, type NativeTensor } from '../tensor.js'
import { ortApi } from './api.js'
import type { Environment } from './environment.js'
import { createHostInputs } from './host-inputs.js'
import { own, outPointer, readPointers, type NativeHandle } from './native.js'
import { isValue, memoryInfo, valueDims, withTensorValue, type DeviceTensor } from './value.js'

/** Inputs and outputs of a session, bound by name. One run at a time. */
export interface Binding {
  /** Binds a tensor as an input; it must stay valid while bound. Each run reads the values that it has then. */
  readonly bindInput: (name: string, tensor: DeviceTensor) => void
  /** The same for values that seldom change: they are not copied to the device again for each run. */
  readonly bindSteadyInput: (name: string, tensor: NativeTensor) => void
  /** Binds a value that the runtime made (another session's output) as an input. */
  bindInputValue(name: string, value: NativeHandle): void
  /** Binds the host's memory that receives an output; dims must be the output's. */
  bindOutput(name: string, tensor: NativeTensor): void
  /** Lets the runtime allocate an output in the device's memory; `takeOutputs` gives it. */
  bindDeviceOutput(name: string): void
  /** Lets the runtime allocate an output of float32 in the host's memory; `takeOutputs` gives it. */
  bindHostOutput(name: string): void
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
  /** As `run`, but beside whatever else the device computes, if it can: for work that must not wait for a whole step. */
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

/** What a run needs to know of its session. */
interface Runnable {
  readonly session: NativeHandle
  readonly binding: NativeHandle
  /** Copies the host's inputs to the device, where that is needed. */
  readonly sendInputs: () => void
  /** Counts what a run copied back. */
  readonly countOutputs: () => void
}

export function createBinding(session: NativeHandle, environment: Environment): Binding {
  const { provider, exclusive, traffic } = environment
  const api = ortApi()
  const binding = own(
    'binding',
    outPointer((out) => api.CreateIoBinding(session.pointer, out)),
    (pointer) => environment.free(() => api.ReleaseIoBinding(pointer)),
  )
  const outputs = createOutputs(binding, environment)
  // What is bound anew may be larger: how long a run took says nothing of the next one then.
  let usualMs = Infinity
  const bind = (name: string, value: Pointer): void => {
    usualMs = Infinity
    api.BindInput(binding.pointer, name, value)
  }
  // The binding keeps a bound value alive by itself; ours goes at once.
  const bindHost = (name: string, tensor: NativeTensor): void => withTensorValue(tensor, (value) => bind(name, value))
  // The runtime copies at once what it binds, so that later changes of the values would not be seen.
  const hostInputs = provider.hasOwnMemory ? createHostInputs(bindHost, traffic) : undefined
  const bindInputValue = (name: string, value: NativeHandle): void => {
    hostInputs?.delete(name)
    bind(name, value.pointer)
  }
  const bindHostInput = (name: string, tensor: NativeTensor, steady: boolean): void => {
    if (hostInputs) hostInputs.set(name, tensor, steady)
    else bindHost(name, tensor)
  }
  const runnable = {
    ...{ session, binding, sendInputs: () => hostInputs?.send() },
    countOutputs: () => void (traffic.toHost += outputs.hostBytes),
  }
  const run = async (signal?: AbortSignal): Promise<{ runtimeMs: number }> => {
    throwIfCancelled(signal)
    const short = usualMs < SHORT_RUN_MS
    const timing = short ? runShort(runnable) : await runInterruptibly(runnable, signal)
    // A running mean, so that one run on a busy machine does not change the mode.
    usualMs = usualMs === Infinity ? timing.runtimeMs : 0.8 * usualMs + 0.2 * timing.runtimeMs
    return timing
  }
  return {
    bindInput(name, tensor) {
      if (isValue(tensor)) bindInputValue(name, tensor.value)
      else bindHostInput(name, tensor, false)
    },
    bindSteadyInput: (name, tensor) => bindHostInput(name, tensor, true),
    bindInputValue,
    ...outputs.methods,
    run: (signal) => exclusive(() => run(signal)),
    runBeside: (signal) => (provider.concurrent ? runInterruptibly(runnable, signal) : exclusive(() => run(signal))),
    runBlocking: () => void runShort(runnable),
    release: () => binding.release(),
  }
}

/** The outputs of a binding, and how many bytes of them the host gets with each run. */
function createOutputs(binding: NativeHandle, environment: Environment) {
  const api = ortApi()
  const { provider, traffic } = environment
  let hostBytes = 0
  let takenByHost = false
  return {
    get hostBytes() {
      return hostBytes
    },
    methods: {
      bindOutput(name: string, tensor: NativeTensor): void {
        withTensorValue(tensor, (value) => api.BindOutput(binding.pointer, name, value))
        if (provider.hasOwnMemory) hostBytes += tensorBytes(tensor.type, tensor.dims)
      },
      bindDeviceOutput: (name: string) => api.BindOutputToDevice(binding.pointer, name, memoryInfo(provider.memory)),
      bindHostOutput(name: string): void {
        api.BindOutputToDevice(binding.pointer, name, memoryInfo('Cpu'))
        takenByHost = provider.hasOwnMemory
      },
      clearOutputs(): void {
        api.ClearBoundOutputs(binding.pointer)
        hostBytes = 0
        takenByHost = false
      },
      takeOutputs(): NativeHandle[] {
        const values = takeOutputs(binding, environment)
        // How large they are is known only now.
        if (takenByHost) traffic.toHost += values.reduce((sum, value) => sum + 4 * elementCount(valueDims(value)), 0)
        return values
      },
    },
  }
}

/** Runs on this thread, where no signal can come in between: it needs no options to be stopped by. */
function runShort({ session, binding, sendInputs, countOutputs }: Runnable): { runtimeMs: number } {
  const started = performance.now()
  sendInputs()
  ortApi().RunWithBinding(session.pointer, null, binding.pointer)
  countOutputs()
  return { runtimeMs: performance.now() - started }
}

/** Runs on another thread; the signal stops it in flight. */
async function runInterruptibly(
  { session, binding, sendInputs, countOutputs }: Runnable,
  signal?: AbortSignal,
): Promise<{ runtimeMs: number }> {
  const options = createRunOptions()
  const terminate = (): void => ortApi().RunOptionsSetTerminate(options.pointer)
  signal?.addEventListener('abort', terminate, { once: true })
  const started = performance.now()
  try {
    sendInputs()
    await ortApi().RunWithBinding.async(session.pointer, options.pointer, binding.pointer)
    countOutputs()
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

function takeOutputs(binding: NativeHandle, environment: Environment): NativeHandle[] {
  const api = ortApi()
  const allocator = outPointer((out) => api.GetAllocatorWithDefaultOptions(out))
  const array: [Pointer | null] = [null]
  const count: [number] = [0]
  api.GetBoundOutputValues(binding.pointer, allocator, array, count)
  if (array[0] === null) return []
  try {
    return readPointers(array[0], Number(count[0])).map((pointer) =>
      own('tensor', pointer, (value) => environment.free(() => api.ReleaseValue(value))),
    )
  } finally {
    api.AllocatorFree(allocator, array[0])
  }
}

function throwIfCancelled(signal: AbortSignal | undefined, cause?: unknown): void {
  if (signal?.aborted) throw new SwiftdError('CANCELLED', 'The run was cancelled.', { cause })
}
