import { koffi } from '../memory/foreign.js'
import type { Pointer } from '../memory/libc.js'
import { ortApi } from './api.js'
import { loadRuntimeLibrary } from './library.js'

/** What the runtime library says about itself. */
export interface RuntimeInfo {
  /** For example `1.30.0`. */
  readonly version: string
  /** Its execution providers, such as `CPUExecutionProvider`. */
  readonly providers: readonly string[]
}

/**
 * Loads the runtime library and asks it.
 * @throws SwiftdError RUNTIME_ERROR if it cannot be loaded
 */
export function runtimeInfo(): RuntimeInfo {
  const api = ortApi()
  const base = loadRuntimeLibrary().func('void *OrtGetApiBase()')() as Pointer
  // OrtApiBase is two function pointers: GetApi, GetVersionString.
  const versionString = koffi.decode(base + 8n, 'void *') as Pointer
  const version = (koffi.decode(versionString, koffi.proto('str', [])) as () => string)()
  const names: [Pointer | null] = [null]
  const count: [number] = [0]
  api.GetAvailableProviders(names, count)
  const [address] = names
  if (address === null) return { version, providers: [] }
  const providers = koffi.decode(address, 'str', count[0]) as string[]
  api.ReleaseAvailableProviders(address, count[0])
  return { version, providers }
}
