import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Probe } from '../../../daemon/workers/probe.js'
import { fail, ok, reasonOf, type Check } from './check.js'
import { checkShmSize } from './machine-checks.js'

/** How long the child may take; it needs a fraction of it. */
const DEADLINE_MS = 30_000

const REINSTALL = 'run "npm ci" again; swiftd runs on Linux (x64, arm64) and macOS (arm64)'

/** Loads the runtime library in a child process, as a worker does: where that crashes, this process goes on. */
export async function checkRuntime(): Promise<Check[]> {
  let probe: Probe
  try {
    probe = await runProbe()
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
  const names = providers.map((name) => name.replace(/ExecutionProvider$/, ''))
  const provider = names.includes('CPU')
    ? ok('providers', `${names.join(', ')} in the library; swiftd uses CPU`)
    : fail('providers', `${names.join(', ') || 'none'} in the library, but swiftd needs CPU`, REINSTALL)
  return [ok('runtime library', `ONNX Runtime ${version}`), provider, memory]
}

function runProbe(): Promise<Probe> {
  const source = import.meta.url.endsWith('.ts')
  const program = new URL(`../../../daemon/workers/probe-main.${source ? 'ts' : 'js'}`, import.meta.url)
  const loader = source ? ['--import', import.meta.resolve('tsx')] : []
  const child = spawn(process.execPath, [...loader, fileURLToPath(program)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(JSON.parse(output) as Probe)
      const last = errors.trim().split('\n').at(-1) ?? ''
      reject(new Error(`the child that loads it ended with ${signal ?? `exit code ${code}`}. ${last}`.trim()))
    })
  })
}
