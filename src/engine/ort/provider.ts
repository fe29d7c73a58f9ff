import { PORTABLE, type GraphTarget } from '../graph/target.js'
import { ortApi } from './api.js'
import type { Pointer } from '../memory/libc.js'
import type { ProviderName } from '../provider-name.js'
import { outPointer } from './native.js'

// The names are a file of their own, since the daemon and the commands may know them, but nothing of the runtime.
export { PROVIDER_NAMES, type ProviderName } from '../provider-name.js'

/** Everything in which providers differ; all else is the same code. */
export interface Provider {
  readonly name: ProviderName
  /** The runtime's name for the memory that it computes in. */
  readonly memory: 'Cpu' | 'Cuda' | 'WebGPU_Buf'
  /** Whether that is not the host's: weights and what one graph leaves for another one are kept there then. */
  readonly hasOwnMemory: boolean
  /** Whether several threads may use it at once. */
  readonly concurrent: boolean
  /** What graphs are built for, where the device can do it. */
  readonly target: GraphTarget
  /** Has the sessions of these options compute with it, but for these nodes, if it can leave some to the host. */
  append(sessionOptions: Pointer, hostNodes: readonly string[]): void
}

/** A worker sees only its own device, which is therefore the first one. */
const DEVICE_ID = '0'

/** As the runtime's OrtCUDAProviderOptionsV2 takes them. */
const CUDA_OPTIONS = {
  device_id: DEVICE_ID,
  // Weights have all sizes and stay: an arena that doubles would ask for gigabytes that nobody uses.
  arena_extend_strategy: 'kSameAsRequested',
  // The exhaustive search would run every algorithm for each new size of image, for seconds, and choose by chance.
  cudnn_conv_algo_search: 'HEURISTIC',
  // Convolutions at 1024x1024 have fast algorithms that need more workspace than the default of 32 MiB.
  cudnn_conv_use_max_workspace: '1',
  // With channels last the runtime reorders a convolution's weights when a session is opened, but ours are bound later.
  prefer_nhwc: '0',
  // Without it cuDNN leaves out all algorithms of the tensor cores, also those in half precision. What is float32 on a GPU
  // is so for its range, which TF32 has.
  use_tf32: '1',
  // CUDA graphs replay fixed addresses, but a copied input has a new one at each step.
  enable_cuda_graph: '0',
} as const

const WEBGPU_OPTIONS = {
  deviceId: DEVICE_ID,
  // The same backend on every system that has several, so that one device selection serves all sessions.
  ...(process.platform === 'linux' && { dawnBackendType: 'Vulkan' }),
} as const

export const PROVIDERS: Readonly<Record<ProviderName, Provider>> = {
  cpu: {
    ...{ name: 'cpu', memory: 'Cpu', hasOwnMemory: false, concurrent: true, target: PORTABLE },
    // The runtime always has it.
    append: () => undefined,
  },
  cuda: {
    ...{ name: 'cuda', memory: 'Cuda', hasOwnMemory: true, concurrent: true },
    target: { precision: 'float16', operators: 'cuda', attention: 'fused' },
    append: appendCuda,
  },
  webgpu: {
    // Two runs at once end the process (seen with 1.30).
    ...{ name: 'webgpu', memory: 'WebGPU_Buf', hasOwnMemory: true, concurrent: false },
    target: { precision: 'float16', operators: 'webgpu', attention: 'fused' },
    append: appendWebgpu,
  },
}

function appendCuda(sessionOptions: Pointer): void {
  const api = ortApi()
  const options = outPointer((out) => api.CreateCUDAProviderOptions(out))
  try {
    api.UpdateCUDAProviderOptions(options, ...keysAndValues(CUDA_OPTIONS))
    api.SessionOptionsAppendExecutionProvider_CUDA_V2(sessionOptions, options)
  } finally {
    api.ReleaseCUDAProviderOptions(options)
  }
}

function appendWebgpu(sessionOptions: Pointer, hostNodes: readonly string[]): void {
  const options = { ...WEBGPU_OPTIONS, ...(hostNodes.length > 0 && { forceCpuNodeNames: hostNodes.join('\n') }) }
  ortApi().SessionOptionsAppendExecutionProvider(sessionOptions, 'WebGPU', ...keysAndValues(options))
}

function keysAndValues(options: Readonly<Record<string, string>>): [keys: string[], values: string[], count: number] {
  return [Object.keys(options), Object.values(options), Object.keys(options).length]
}
