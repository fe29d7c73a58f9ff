import type { DeviceSpec } from '../workers/devices.js'

/** What the Vulkan loader and Mesa read to choose devices; whoever sets one of these has chosen. */
const VULKAN_CHOICES = [
  'VK_DRIVER_FILES',
  'VK_ICD_FILENAMES',
  'VK_LOADER_DEVICE_SELECT',
  'VK_LOADER_DEVICE_ID_FILTER',
  'VK_LOADER_VENDOR_ID_FILTER',
  'VK_LOADER_DRIVER_ID_FILTER',
  'MESA_VK_DEVICE_SELECT',
  'DRI_PRIME',
] as const

/**
 * What a worker's environment has besides the daemon's own, so that its device is number 0 inside: the provider then needs
 * no number, and cannot touch another device.
 */
export function pinnedEnvironment(device: DeviceSpec, environment: NodeJS.ProcessEnv): Record<string, string> {
  switch (device.provider) {
    case 'cpu':
      return {}
    case 'cuda':
      return cudaEnvironment(device, environment)
    case 'webgpu':
      return vulkanEnvironment(device, environment)
  }
}

/**
 * CUDA numbers the fastest GPU first unless CUDA_DEVICE_ORDER says otherwise; by PCI address the numbers are those of
 * nvidia-smi. A CUDA_VISIBLE_DEVICES that is set already names the GPUs that there are: cuda:0 is the first of them.
 */
function cudaEnvironment({ index }: DeviceSpec, environment: NodeJS.ProcessEnv): Record<string, string> {
  const visible = visibleCudaDevices(environment)
  return {
    ...(!environment.CUDA_DEVICE_ORDER && { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }),
    // Beyond the end there is nothing to see: -1 is how CUDA says so.
    CUDA_VISIBLE_DEVICES: visible ? (visible[index] ?? '-1') : String(index),
  }
}

/**
 * The GPUs that CUDA_VISIBLE_DEVICES leaves, as numbers or as beginnings of UUIDs; undefined where it is not set. As for CUDA
 * the list ends at the first entry that is none.
 */
export function visibleCudaDevices(environment: NodeJS.ProcessEnv): string[] | undefined {
  if (environment.CUDA_VISIBLE_DEVICES === undefined) return undefined
  const entries = environment.CUDA_VISIBLE_DEVICES.split(',').map((entry) => entry.trim())
  const end = entries.findIndex((entry) => !/^(\d+|(GPU|MIG)-.+)$/.test(entry))
  return end < 0 ? entries : entries.slice(0, end)
}

/**
 * Dawn, the runtime's WebGPU, takes the first device of the best class that Vulkan lists, so the list is cut to one:
 *
 * - VK_LOADER_VENDOR_ID_FILTER and VK_LOADER_DEVICE_ID_FILTER: from the Vulkan loader of 1.4.326 on, only that model of card.
 * - VK_LOADER_DEVICE_SELECT: older loaders put it first (docs/LoaderInterfaceArchitecture.md of KhronosGroup/Vulkan-Loader).
 * - DRI_PRIME with MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: Mesa's layer VK_LAYER_MESA_device_select, where it is
 *   installed, lists only the card at that address, of any driver. Only this tells equal cards apart.
 */
function vulkanEnvironment({ card }: DeviceSpec, environment: NodeJS.ProcessEnv): Record<string, string> {
  if (!card || hasChosenVulkan(environment)) return {}
  const { address, vendorId, deviceId } = card
  return {
    ...(vendorId !== undefined &&
      deviceId !== undefined && {
        VK_LOADER_VENDOR_ID_FILTER: vendorId,
        VK_LOADER_DEVICE_ID_FILTER: deviceId,
        VK_LOADER_DEVICE_SELECT: `${vendorId}:${deviceId}`,
      }),
    ...(address !== undefined && {
      DRI_PRIME: `pci-${address.replaceAll(/[:.]/g, '_')}`,
      MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: '1',
    }),
  }
}

/** Whether the environment chooses Vulkan's driver or device: it is kept, and webgpu:0 is what it chooses. */
export function hasChosenVulkan(environment: NodeJS.ProcessEnv): boolean {
  return VULKAN_CHOICES.some((name) => environment[name])
}
