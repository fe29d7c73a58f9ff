import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { koffi, type LibraryHandle } from '../../src/engine/memory/foreign.js'

/**
 * SwiftShader, a Vulkan device in software, with its Vulkan loader: what the WebGPU provider runs on where there is no GPU.
 * It comes with the development dependency @sparticuz/chromium (x64 Linux) or with Debian's package chromium-common.
 */
export interface Swiftshader {
  readonly directory: string
  /** For a process that is to use it. */
  readonly environment: Readonly<Record<'VK_DRIVER_FILES' | 'LD_LIBRARY_PATH' | 'XDG_RUNTIME_DIR', string>>
}

/** Why tests that need it are skipped where it is missing. */
export const NO_SWIFTSHADER =
  'There is no Vulkan device in software here: the npm package @sparticuz/chromium has it for x64 Linux, or apt-get install chromium-common.'

const DRIVER = 'vk_swiftshader_icd.json'
const DEBIAN_DIRECTORY = '/usr/lib/chromium'

/** Finds it, and unpacks it on first use. */
export function findSwiftshader(): Swiftshader | undefined {
  const directory = unpacked() ?? (existsSync(join(DEBIAN_DIRECTORY, DRIVER)) ? DEBIAN_DIRECTORY : undefined)
  if (directory === undefined) return undefined
  const environment = {
    VK_DRIVER_FILES: join(directory, DRIVER),
    LD_LIBRARY_PATH: directory,
    XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(),
  }
  return { directory, environment }
}

/** Kept, since a library is closed when its handle is collected. */
let loader: LibraryHandle | undefined

/** Has this process use it. */
export function useSwiftshader({ directory, environment }: Swiftshader): void {
  Object.assign(process.env, environment)
  // The library path is read when a process starts; a library that is loaded already is found by its name.
  loader ??= koffi.load(join(directory, 'libvulkan.so.1'), { global: true })
}

function unpacked(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined
  const archive = packedArchive()
  if (archive === undefined) return undefined
  const cache = join(import.meta.dirname, '../../node_modules/.cache')
  const directory = join(cache, 'swiftshader')
  if (existsSync(directory)) return directory
  mkdirSync(cache, { recursive: true })
  const temporary = mkdtempSync(join(cache, 'swiftshader-'))
  execFileSync('tar', ['-x', '-C', temporary], { input: brotliDecompressSync(readFileSync(archive)) })
  try {
    renameSync(temporary, directory)
  } catch {
    // Another test file was faster.
    rmSync(temporary, { recursive: true })
  }
  return directory
}

function packedArchive(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium')
    const archive = join(dirname(entry), '../../bin/swiftshader.tar.br')
    return existsSync(archive) ? archive : undefined
  } catch {
    return undefined
  }
}
