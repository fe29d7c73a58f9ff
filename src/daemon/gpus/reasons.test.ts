import { describe, expect, it } from 'vitest'
import { CUDA_NOT_INSTALLED, describeFailure, explainDeviceFailure, isDeviceLost, NO_NVIDIA_DRIVER } from './reasons.js'

/** The runtime of 1.30 without the provider's files. */
const PREFIX =
  'ONNX Runtime reports in UpdateCUDAProviderOptions: /onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:1988 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /package/bin'
/** Messages as the sources of the runtime put them together, and as people reported them. */
const LIBRARY = (missing: string) =>
  `${PREFIX}/libonnxruntime_providers_cuda.so with error: ${missing}: cannot open shared object file: No such file or directory`
const CUDA = (number: number, text: string) =>
  `ONNX Runtime reports in CreateSessionFromArray: CUDA failure ${number}: ${text} ; GPU=0 ; hostname=box ; expr=cudaSetDevice(info_.device_id); `

describe('why CUDA cannot be used', () => {
  const reason = (message: string) => explainDeviceFailure('cuda', message).reason
  const remedy = (message: string) => explainDeviceFailure('cuda', message).remedy

  it('is that the provider is not installed', () => {
    const message = LIBRARY('/package/bin/libonnxruntime_providers_shared.so')
    expect(explainDeviceFailure('cuda', message)).toEqual(CUDA_NOT_INSTALLED)
    expect(CUDA_NOT_INSTALLED.remedy).toContain('swiftd gpu install')
  })

  it('is a library of CUDA or cuDNN, or the driver itself', () => {
    expect(reason(LIBRARY('libcublasLt.so.12'))).toBe(
      'the library libcublasLt.so.12 of CUDA 12 or cuDNN 9 is not found',
    )
    expect(remedy(LIBRARY('libcudnn.so.9'))).toContain('LD_LIBRARY_PATH')
    expect(explainDeviceFailure('cuda', LIBRARY('libcuda.so.1'))).toEqual(NO_NVIDIA_DRIVER)
    expect(
      remedy(
        `${PREFIX} /x/libonnxruntime_providers_cuda.so with error: /x/libonnxruntime_providers_cuda.so: file too short`,
      ),
    ).toContain('--force')
  })

  it('is a driver that is too old', () => {
    expect(reason(CUDA(35, 'CUDA driver version is insufficient for CUDA runtime version'))).toBe(
      'the NVIDIA driver is too old',
    )
    expect(remedy('CUDA driver version is insufficient for CUDA runtime version')).toContain('525 or newer')
  })

  it('is a GPU that is not there, is busy, or is too old', () => {
    expect(reason(CUDA(100, 'no CUDA-capable device is detected'))).toBe('the driver finds no such GPU')
    expect(reason(CUDA(101, 'invalid device ordinal'))).toBe('the driver finds no such GPU')
    expect(reason(CUDA(2, 'out of memory'))).toContain('memory is taken')
    expect(remedy(CUDA(209, 'no kernel image is available for execution on the device'))).toContain('webgpu:0')
    expect(reason(CUDA(304, 'OS call failed or operation not supported on this OS'))).toBe(
      'CUDA reports: OS call failed or operation not supported on this OS (304)',
    )
  })
})

describe('why WebGPU cannot be used', () => {
  it('is that no driver offers a device', () => {
    const message =
      'ONNX Runtime reports in CreateSessionFromArray: Failed to get a WebGPU adapter: No supported adapters'
    const { reason, remedy } = explainDeviceFailure('webgpu', message)
    expect(reason).toBe(process.platform === 'linux' ? 'no Vulkan driver offers a device' : 'no GPU is offered')
    if (process.platform === 'linux') expect(remedy).toContain('mesa-vulkan-drivers')
  })
})

describe('a failure', () => {
  it('is one sentence with the device and what to do', () => {
    expect(describeFailure('cuda:0', CUDA_NOT_INSTALLED)).toBe(
      'cuda:0 cannot be used: the CUDA provider is not installed; run "swiftd gpu install".',
    )
    expect(describeFailure('webgpu:0', { reason: 'x' })).toBe('webgpu:0 cannot be used: x.')
  })

  it('stands for itself where it is not known', () => {
    expect(explainDeviceFailure('cpu', 'Something\n  else.')).toEqual({ reason: 'Something else' })
    expect(explainDeviceFailure('webgpu', LIBRARY('libcuda.so.1')).remedy).toBeUndefined()
  })

  it('may be the loss of the device', () => {
    expect(isDeviceLost('cuda', CUDA(719, 'unspecified launch failure'))).toBe(true)
    expect(isDeviceLost('cuda', CUDA(999, 'unknown error'))).toBe(true)
    expect(isDeviceLost('cuda', CUDA(2, 'out of memory'))).toBe(false)
    expect(isDeviceLost('webgpu', '[Device] is lost.')).toBe(true)
    expect(isDeviceLost('webgpu', 'Failed to create a WebGPU compute pipeline')).toBe(false)
    expect(isDeviceLost('cpu', '[Device] is lost.')).toBe(false)
  })
})
