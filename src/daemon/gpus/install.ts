import { join } from 'node:path'
import { execa } from 'execa'
import { SwiftdError } from '../../engine/errors.js'
import { isCudaInstalled, runtimeLibraryDirectory, runtimePackageDirectory } from './runtime-package.js'

export interface InstallOptions {
  /** Is told each line that the installation prints. */
  readonly onLine: (line: string) => void
  readonly environment?: NodeJS.ProcessEnv
  /** Of onnxruntime-node. @default the one that swiftd uses */
  readonly packageDirectory?: string
}

/**
 * Runs onnxruntime-node's own installation of the CUDA provider, which downloads a package of nuget.org and unpacks its
 * libraries beside the runtime library.
 * @throws SwiftdError DOWNLOAD_FAILED, OUTPUT_NOT_WRITABLE, or RUNTIME_ERROR with what it says
 */
export async function installCuda(options: InstallOptions): Promise<void> {
  const { onLine, environment = process.env, packageDirectory = runtimePackageDirectory() } = options
  const child = execa(process.execPath, [join(packageDirectory, 'script/install.js')], {
    // "true" installs all that the platform has, which is CUDA. Its name, "cuda12", is documented, but the script of 1.30
    // reads it as nothing being asked for, and within npm it then does nothing.
    env: { ...environment, ONNXRUNTIME_NODE_INSTALL: 'true' },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  })
  for await (const line of child.iterable({ from: 'stdout' })) onLine(line)
  const { failed, stderr } = await child
  const directory = runtimeLibraryDirectory(packageDirectory)
  if (failed) throw installFailure(stderr, directory)
  if (isCudaInstalled(packageDirectory)) return
  throw new SwiftdError('RUNTIME_ERROR', `The installation of onnxruntime-node put no CUDA provider into ${directory}.`)
}

const NETWORK =
  /\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|E(HOST|NET)UNREACH|EPROTO|CERT_\w+)\b|certificate|HTTP status|socket hang up|Failed to (download|resolve|open NuGet)/
const NOT_WRITABLE = /\b(EACCES|EPERM|EROFS|ENOSPC|EDQUOT)\b/

/** What the script's uncaught error means. */
export function installFailure(stderr: string, directory: string): SwiftdError {
  const message = /^\s*\w*Error: (.+)$/m.exec(stderr)?.[1] ?? stderr.trim().split('\n').at(-1) ?? ''
  if (NOT_WRITABLE.test(message)) {
    const remedy = `see that ${directory} can be written and has room, as whoever installed swiftd`
    return new SwiftdError('OUTPUT_NOT_WRITABLE', `The CUDA provider cannot be written (${message}); ${remedy}.`)
  }
  if (NETWORK.test(message)) {
    const remedy =
      'see that https://api.nuget.org can be reached (GLOBAL_AGENT_HTTPS_PROXY names a proxy), and run it again'
    return new SwiftdError('DOWNLOAD_FAILED', `The CUDA provider could not be downloaded (${message}); ${remedy}.`)
  }
  return new SwiftdError('RUNTIME_ERROR', `The installation of onnxruntime-node failed: ${message}`)
}
