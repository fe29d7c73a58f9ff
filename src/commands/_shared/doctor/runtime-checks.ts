import { runChild } from '../../../daemon/gpus/child.js'
import { isCudaInstalled } from '../../../daemon/gpus/runtime-package.js'
import type { Probe } from '../../../daemon/workers/probe.js'
import { fail, ok, reasonOf, type Check } from './check.js'
import { checkShmSize } from './machine-checks.js'

/** How long the child may take; it needs a fraction of it. */
const DEADLINE_MS = 30_000

const PROBE = new URL('../../../daemon/workers/probe-main', import.meta.url)
const REINSTALL = 'run "npm ci" again; swiftd runs on Linux (x64, arm64) and macOS (arm64)'

/** The runtime's names of the providers that swiftd uses, and what people call them. */
const USED = [
  ['CPU', 'CPU'],
  ['CUDA', 'CUDA'],
  ['WebGpu', 'WebGPU'],
] as const

/** Loads the runtime library in a child process, as a worker does: where that crashes, this process goes on. */
export async function checkRuntime(): Promise<Check[]> {
  let probe: Probe
  try {
    probe = (await runChild(PROBE, { deadlineMs: DEADLINE_MS })) as Probe
  } catch (error) {
    return [fail('runtime library', reasonOf(error), REINSTALL)]
  }
  const { runtime, anonymousMemory } = probe
  const memory = anonymousMemory.ok
    ? checkShmSize(anonymousMemory.value)
    : fail(
        'shared memory',
        anonymousMemory.reason,
        'allow memfd_create and mmap, perhaps in the container’s seccomp profile',
      )
  if (!runtime.ok) return [fail('runtime library', runtime.reason, REINSTALL), memory]
  const { version, providers } = runtime.value
  const usable = USED.filter(([name]) => providers.includes(`${name}ExecutionProvider`))
  // The library knows CUDA on every machine; what computes is in files of its own.
  const names = usable.map(([name, word]) => (name === 'CUDA' && !isCudaInstalled() ? `${word} (not installed)` : word))
  const provider = names.includes('CPU')
    ? ok('providers', names.join(', '))
    : fail('providers', `${names.join(', ') || 'none'} in the library, but swiftd needs CPU`, REINSTALL)
  return [ok('runtime library', `ONNX Runtime ${version}`), provider, memory]
}
