import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { SwiftdError } from '../errors.js'
import { koffi, type LibraryHandle } from '../memory/foreign.js'

const FILE_NAMES: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
  win32: 'onnxruntime.dll',
}

/** Path of the runtime library that the onnxruntime-node package ships for this platform. */
export function runtimeLibraryPath(): string {
  const packageDirectory = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'))
  const path = join(
    packageDirectory,
    'bin/napi-v6',
    process.platform,
    process.arch,
    FILE_NAMES[process.platform] ?? 'libonnxruntime.so.1',
  )
  if (!existsSync(path)) {
    throw new SwiftdError(
      'RUNTIME_ERROR',
      `onnxruntime-node has no library for ${process.platform}-${process.arch} (looked for ${path}); swiftd cannot run here.`,
    )
  }
  return path
}

let library: LibraryHandle | undefined

/**
 * Loads the runtime library, once. koffi closes a library when its handle is collected, and functions decoded from
 * pointers do not hold it; so the handle stays in this module for as long as the process lives.
 */
export function loadRuntimeLibrary(): LibraryHandle {
  // The library would report its use to its makers; what a person draws here is nobody else's business.
  process.env.ORT_DISABLE_TELEMETRY ??= '1'
  library ??= koffi.load(runtimeLibraryPath())
  return library
}
