import type { ProviderName } from '../../engine/provider-name.js'

/** Why a device cannot be used, in words that a person can act on. */
export interface DeviceFailure {
  /** The end of a sentence: "the NVIDIA driver is too old". */
  readonly reason: string
  /** What to do about it: `install …`. */
  readonly remedy?: string
}

/** CUDA 12 runs on drivers from 525 on (NVIDIA's table of minor version compatibility). */
export const OLDEST_CUDA_DRIVER = 525

const UPDATE_DRIVER = `install NVIDIA's driver ${OLDEST_CUDA_DRIVER} or newer, which CUDA 12 needs`

export const CUDA_NOT_INSTALLED: DeviceFailure = {
  reason: 'the CUDA provider is not installed',
  remedy: 'run "swiftd gpu install"',
}
export const CUDA_NOT_OFFERED: DeviceFailure = {
  reason: `the CUDA provider exists for Linux on x64 only, not for ${process.platform} on ${process.arch}`,
  remedy: process.platform === 'darwin' ? 'use webgpu:0' : 'use webgpu:0 or the CPU',
}
export const NO_NVIDIA_DRIVER: DeviceFailure = {
  reason: 'no NVIDIA driver is loaded',
  remedy: `${UPDATE_DRIVER}; in a container, give it the GPU`,
}
export const driverTooOld = (version?: string): DeviceFailure => ({
  reason: `the NVIDIA driver${version === undefined ? '' : ` ${version}`} is too old`,
  remedy: UPDATE_DRIVER,
})

interface Pattern {
  readonly matches: RegExp
  readonly failure: (match: RegExpExecArray) => DeviceFailure
}

/**
 * CUDA's numbers of errors (cudaError_t of the CUDA runtime's API), as the provider writes them: "CUDA failure 35: CUDA
 * driver version is insufficient for CUDA runtime version ; GPU=0 ; …" (cuda_call.cc of microsoft/onnxruntime).
 */
const CUDA_ERRORS: Readonly<Record<string, DeviceFailure>> = {
  2: { reason: 'its memory is taken by other programs', remedy: 'end what uses it; nvidia-smi shows that' },
  35: driverTooOld(),
  46: { reason: 'it is busy or kept by another program', remedy: 'end what uses it; nvidia-smi shows that' },
  100: { reason: 'the driver finds no such GPU', remedy: 'look at "nvidia-smi -L" and at CUDA_VISIBLE_DEVICES' },
  101: { reason: 'the driver finds no such GPU', remedy: 'look at "nvidia-smi -L" and at CUDA_VISIBLE_DEVICES' },
  209: { reason: 'this model of GPU is too old for the CUDA provider', remedy: 'use it as webgpu:0, or the CPU' },
  802: { reason: 'the driver is not ready', remedy: "see whether NVIDIA's fabric manager runs" },
  803: {
    reason: "the driver's parts are of different versions",
    remedy: 'restart the machine, or install the driver again',
  },
  804: { reason: 'this GPU does not take the compatibility driver', remedy: UPDATE_DRIVER },
}

const CUDA_PATTERNS: readonly Pattern[] = [
  {
    // The provider's own files: libonnxruntime_providers_cuda.so with its full path, as the loader writes it.
    matches: /libonnxruntime_providers_\w+\.so: cannot open shared object file/,
    failure: () => CUDA_NOT_INSTALLED,
  },
  { matches: /libcuda\.so\S*: cannot open shared object file/, failure: () => NO_NVIDIA_DRIVER },
  {
    matches: /(lib(?!onnxruntime)\S+\.so\S*): cannot open shared object file/,
    failure: ([, library]) => ({
      reason: `the library ${library} of CUDA 12 or cuDNN 9 is not found`,
      remedy: 'install the CUDA 12 runtime and cuDNN 9, or add their directory to LD_LIBRARY_PATH',
    }),
  },
  {
    matches: /file too short|invalid ELF header/,
    failure: () => ({ reason: 'the CUDA provider is damaged', remedy: 'run "swiftd gpu install --force"' }),
  },
  { matches: /driver version is insufficient/, failure: () => driverTooOld() },
  {
    matches: /CUDA failure (\d+): ([^;]+)/,
    failure: ([, number, text]) => CUDA_ERRORS[number] ?? { reason: `CUDA reports: ${text.trim()} (${number})` },
  },
  { matches: /CUDA execution provider is (either )?not enabled/, failure: () => CUDA_NOT_OFFERED },
]

/** Dawn's words for finding nothing (webgpu_context.cc of microsoft/onnxruntime, Instance.cpp of Dawn). */
const NO_ADAPTER: DeviceFailure =
  process.platform === 'linux'
    ? {
        reason: 'no Vulkan driver offers a device',
        remedy:
          "install libvulkan1 and the GPU's Vulkan driver (mesa-vulkan-drivers, or NVIDIA's), and let this user open /dev/dri",
      }
    : { reason: 'no GPU is offered' }

const WEBGPU_PATTERNS: readonly Pattern[] = [
  { matches: /No supported adapters|Failed to get a WebGPU adapter/, failure: () => NO_ADAPTER },
  {
    matches: /Failed to get a WebGPU device: ?(.*)/,
    failure: ([, text]) => ({ reason: `its driver refuses to open it: ${text.trim()}`, remedy: 'update its driver' }),
  },
]

const PATTERNS: Readonly<Record<ProviderName, readonly Pattern[]>> = {
  cpu: [],
  cuda: CUDA_PATTERNS,
  webgpu: WEBGPU_PATTERNS,
}

/** What the message of a failed attempt to use a device means. A message that is not known stands for itself. */
export function explainDeviceFailure(provider: ProviderName, message: string): DeviceFailure {
  for (const { matches, failure } of PATTERNS[provider]) {
    const match = matches.exec(message)
    if (match) return failure(match)
  }
  return { reason: message.replaceAll(/\s+/g, ' ').replace(/\.$/, '') }
}

/** As one sentence: "cuda:0 cannot be used: the NVIDIA driver is too old; install …". */
export function describeFailure(device: string, { reason, remedy }: DeviceFailure): string {
  return `${device} cannot be used: ${reason}${remedy === undefined ? '' : `; ${remedy}`}.`
}

/**
 * CUDA's errors that end a process's use of a GPU: everything later fails, too, until another process opens it. 214 is memory
 * that cannot be corrected, 700 to 719 are kernels that failed, 999 is a driver that does not know; a GPU that fell off the
 * bus is reported as one of these.
 */
const LOST_CUDA = /CUDA failure (214|70\d|71\d|999):|CU(BLAS|DNN)_STATUS_EXECUTION_FAILED/
const LOST_WEBGPU = /(device|Device)[^.]{0,40} (is )?lost/

/** Whether a run failed because the device is gone, so that this process cannot use it any more. */
export function isDeviceLost(provider: ProviderName, message: string): boolean {
  if (provider === 'cpu') return false
  return (provider === 'cuda' ? LOST_CUDA : LOST_WEBGPU).test(message)
}
