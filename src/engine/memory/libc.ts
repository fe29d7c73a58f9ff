import { SwiftdError } from '../errors.js'
import { formatBytes } from '../format-bytes.js'
import { koffi } from './foreign.js'

/** An address in this process. */
export type Pointer = bigint

/**
 * The few calls of the C library that Node does not offer. koffi closes a library once its handle is collected, and the
 * functions made from it do not hold it, so the handle lives in this module for as long as the process does.
 */
const library = koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6')

type Mmap = (address: null, length: number, protection: number, flags: number, fd: number, offset: number) => Pointer
const mmap = library.func(
  'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
) as Mmap
const munmap = library.func('int munmap(void *address, size_t length)') as (address: Pointer, length: number) => number
const madvise = library.func('int madvise(void *address, size_t length, int advice)') as (
  address: Pointer,
  length: number,
  advice: number,
) => number

// The same on Linux and macOS.
const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 1
const MAP_PRIVATE = 2
const MAP_ANONYMOUS = process.platform === 'darwin' ? 0x1000 : 0x20
const MAP_FAILED = 0xffff_ffff_ffff_ffffn

// Linux only.
const MADV_REMOVE = 9
const MFD_CLOEXEC = 1

/** Maps `length` bytes of an open file, shared with every process that maps it. Throws with the system's error name. */
export function mapShared(fd: number, length: number, access: 'read' | 'read-write'): Pointer {
  const protection = access === 'read' ? PROT_READ : PROT_READ | PROT_WRITE
  const address = mmap(null, length, protection, MAP_SHARED, fd, 0)
  if (address === MAP_FAILED || address === null) throw new Error(`mmap of ${length} bytes failed: ${errnoName()}`)
  return address
}

/**
 * Maps `length` bytes of fresh memory: zeros, whose pages exist from their first use on.
 * @throws SwiftdError OUT_OF_MEMORY if the system has none left
 */
export function mapAnonymous(length: number): Pointer {
  const address = mmap(null, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
  if (address !== MAP_FAILED && address !== null) return address
  const reason = errnoName()
  if (reason !== 'ENOMEM') throw new Error(`mmap of ${length} bytes failed: ${reason}`)
  const sentence = `The machine gives no ${formatBytes(length)} of memory; end other programs, or use less at once.`
  throw new SwiftdError('OUT_OF_MEMORY', sentence)
}

/** Ends a mapping. Nothing may use its addresses or views any more. */
export function unmap(address: Pointer, length: number): void {
  if (munmap(address, length) !== 0) throw new Error(`munmap failed: ${errnoName()}`)
}

/** Gives the pages of a shared mapping back to the system; they read as zeros afterwards. A no-op where unsupported. */
export function releasePages(address: Pointer, length: number): void {
  if (process.platform === 'linux') madvise(address, length, MADV_REMOVE)
}

/**
 * Opens an anonymous file that lives in memory until its last descriptor closes. Unlike a file in /dev/shm it is not
 * bounded by that mount's size (64 MiB in many containers), where writing past the end would kill the process.
 * @returns the descriptor, or undefined where the system has no such call (macOS)
 */
export function openAnonymousFile(name: string): number | undefined {
  if (process.platform !== 'linux') return undefined
  const create = library.func('int memfd_create(const char *name, unsigned int flags)') as (
    n: string,
    f: number,
  ) => number
  const fd = create(name, MFD_CLOEXEC)
  if (fd < 0) throw new Error(`memfd_create failed: ${errnoName()}`)
  return fd
}

/** A view of native memory. The caller keeps the memory mapped for as long as the view is used. */
export function viewMemory(address: Pointer, length: number): ArrayBuffer {
  return koffi.view(address, length)
}

function errnoName(): string {
  const value = koffi.errno()
  const match = Object.entries(koffi.os.errno).find(([, code]) => code === value)
  return match ? match[0] : `errno ${value}`
}
