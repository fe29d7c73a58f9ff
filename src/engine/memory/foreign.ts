import koffi from 'koffi'

/**
 * koffi, configured; import it from here only, since its settings are fixed once any library is loaded.
 *
 * With one intra-op thread a whole run of the runtime happens on a koffi thread, and its kernels put large frames on the
 * stack: the default of 128 KiB overflows.
 */
koffi.config({ async_stack_size: 8 * 1024 * 1024 })

export { koffi }
export type { LibraryHandle } from 'koffi'
