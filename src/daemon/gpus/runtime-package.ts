import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * What CUDA needs beside the runtime library. onnxruntime-node does not ship these files, since they are too large for the
 * npm registry; its script/install-metadata.js lists them, and its script/install.js fetches them.
 */
const CUDA_FILES = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so']

/** Where the onnxruntime-node package lies. */
export function runtimePackageDirectory(): string {
  return dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'))
}

/** Where the package has the libraries of this machine's platform. */
export function runtimeLibraryDirectory(packageDirectory: string = runtimePackageDirectory()): string {
  return join(packageDirectory, 'bin/napi-v6', process.platform, process.arch)
}

/** Whether onnxruntime-node has CUDA for a platform at all. */
export function isCudaOffered(
  platform: NodeJS.Platform = process.platform,
  arch: NodeJS.Architecture = process.arch,
): boolean {
  return platform === 'linux' && arch === 'x64'
}

/** Whether the CUDA provider's files are there; it costs two look-ups in a directory. */
export function isCudaInstalled(packageDirectory: string = runtimePackageDirectory()): boolean {
  const directory = runtimeLibraryDirectory(packageDirectory)
  return isCudaOffered() && CUDA_FILES.every((name) => existsSync(join(directory, name)))
}
