/**
 * How the runtime and what is below it say that an allocation failed. The C API has no status code for it, so its messages
 * tell; those of another program, of a shape or of a device that is gone are none of these.
 */
const SIGNS: readonly RegExp[] = [
  // The runtime's arena (core/framework/bfc_arena.cc): the system or the device gave nothing, or the arena's limit is reached.
  /failed to allocate memory for requested buffer of size/i,
  /available memory of \d+ is smaller than requested bytes of \d+/i,
  /failed to find a free memory block despite calling extend/i,
  // C++ on the CPU, as GCC's and Clang's libraries and Microsoft's name it.
  /\bstd::bad_alloc\b|\bbad_alloc\b|\bbad allocation\b/,
  // CUDA ("CUDA failure 2: out of memory"), and its libraries by their status.
  /\bcuda\w*\b.*\bout of memory\b/is,
  /\bcudaErrorMemoryAllocation\b|\bCUBLAS_STATUS_ALLOC_FAILED\b|\bCUDNN_STATUS_(ALLOC_FAILED|INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)\b/,
  // WebGPU ("WebGPU device error(2): Out of memory"), and Vulkan below it.
  /\bwebgpu\b.*\bout of memory\b/is,
  /\bVK_ERROR_OUT_OF_(DEVICE|HOST|POOL)_MEMORY\b/,
]

/** Whether a message of the runtime means that there was too little memory. */
export function isOutOfMemory(runtimeMessage: string): boolean {
  return SIGNS.some((sign) => sign.test(runtimeMessage))
}
