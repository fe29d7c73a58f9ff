import { existsSync } from 'node:fs'
import { mkdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { SwiftdError } from '../../../engine/errors.js'
import { PIPELINES } from '../../../engine/weights/checkpoint.js'
import { readConfig } from '../../../engine/weights/config.js'
import { formatBytes } from '../format.js'
import { isSafePath, type HubAddress } from './address.js'
import {
  blobPath,
  cachedCommit,
  isCommit,
  linkBlob,
  rememberCommit,
  snapshotDirectory,
  snapshotFiles,
} from './cache.js'
import { explainHubFailure } from './failures.js'
import { MODEL_INDEX, selectFile, selectFolder, type HubFile } from './selection.js'
import type { HubSettings } from './settings.js'
import { downloadVerified, type TransferContext } from './transfer.js'

export interface PullProgress {
  /** The file that is being downloaded. */
  readonly file: string
  /** Of all files of the model. */
  readonly bytes: number
  readonly totalBytes: number
}

export interface PullOptions {
  readonly settings: HubSettings
  /** Which weights of a folder, such as fp16. */
  readonly variant?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: PullProgress) => void
  /** As `TransferContext`. */
  readonly retryDelayMs?: number
}

export interface PulledModel {
  /** The model's folder or file. */
  readonly path: string
  readonly commit: string
  /** Paths in the repository of the files that were asked for. */
  readonly files: readonly string[]
  /** Those of them that were downloaded now; the others were there already. */
  readonly downloaded: readonly string[]
  /** SHA-256 of the files that were verified with it, by path on disk. */
  readonly hashes: ReadonlyMap<string, string>
}

/**
 * Brings a model from the hub into the cache: only what swiftd reads of it, each file verified. A call that was broken off
 * is continued by the next.
 * @throws SwiftdError MODEL_NOT_FOUND, DOWNLOAD_FAILED, UNSUPPORTED_MODEL, INVALID_REQUEST (no such variant),
 * INVALID_WEIGHTS (wrong checksum), OUTPUT_NOT_WRITABLE, or the reason of `signal`
 */
export async function pullModel(address: HubAddress, options: PullOptions): Promise<PulledModel> {
  const { settings, variant, signal } = options
  if (settings.offline) return findOffline(address, settings)
  try {
    const { repository } = address
    const commit = await resolveRevision(address, options)
    const listing = await listRepository(address, commit, options)
    await rememberCommit(settings.cacheDirectory, repository, address.revision, commit)
    const { download, result } = createDownload(address, commit, options)
    if (address.file !== undefined) {
      await download([selectFile(repository, listing, address.file)])
    } else {
      const files = selectFolder(repository, listing, variant)
      // The smallest file tells whether the others are worth it.
      await download(files.slice(0, 1))
      checkPipeline(repository, join(snapshotDirectory(settings.cacheDirectory, repository, commit), MODEL_INDEX))
      await download(files)
    }
    return result()
  } catch (error) {
    signal?.throwIfAborted()
    throw explainHubFailure(error, address, settings)
  }
}

/** The model as it was pulled before, without asking the hub. Whether it is complete shows when it is opened. */
function findOffline({ repository, revision, file }: HubAddress, { cacheDirectory }: HubSettings): PulledModel {
  const commit = cachedCommit(cacheDirectory, repository, revision)
  const path = commit === undefined ? undefined : snapshotDirectory(cacheDirectory, repository, commit)
  const wanted = path === undefined ? undefined : join(path, file ?? MODEL_INDEX)
  if (commit === undefined || path === undefined || wanted === undefined || !existsSync(wanted)) {
    const remedy = 'unset HF_HUB_OFFLINE to download it'
    throw new SwiftdError('MODEL_NOT_FOUND', `${repository} is not in the cache at ${cacheDirectory}; ${remedy}.`)
  }
  const files = snapshotFiles(cacheDirectory, repository, commit)
  return { path: file === undefined ? path : wanted, commit, files, downloaded: [], hashes: new Map() }
}

/** The commit that a revision is at now. */
async function resolveRevision({ repository, revision }: HubAddress, options: PullOptions): Promise<string> {
  const { modelInfo } = await import('@huggingface/hub')
  const info = await modelInfo({ name: repository, revision, additionalFields: ['sha'], ...requestOf(options) })
  if (isCommit(info.sha)) return info.sha
  throw new SwiftdError('DOWNLOAD_FAILED', `${options.settings.endpoint} names no commit for ${repository}.`)
}

async function listRepository(address: HubAddress, commit: string, options: PullOptions): Promise<HubFile[]> {
  const { listFiles } = await import('@huggingface/hub')
  const files: HubFile[] = []
  const request = { repo: address.repository, revision: commit, recursive: true, ...requestOf(options) }
  for await (const { type, path, size, oid, lfs } of listFiles(request)) {
    const sha256 = lfs?.oid
    const listed = /^[0-9a-f]{40}$/.test(oid ?? '') && (sha256 === undefined || /^[0-9a-f]{64}$/.test(sha256))
    // Names come from whoever made the repository, and hashes become names of files.
    if (type === 'file' && isSafePath(path) && listed) files.push({ path, size, sha256, gitId: oid ?? '' })
  }
  return files
}

function requestOf({ settings, signal }: PullOptions) {
  return {
    hubUrl: settings.endpoint,
    accessToken: settings.token,
    fetch: (input: string | URL | Request, init?: RequestInit) => fetch(input, { ...init, signal }),
  }
}

/** Brings files into a snapshot, and remembers which. */
function createDownload(address: HubAddress, commit: string, options: PullOptions) {
  const { settings, onProgress } = options
  const { repository } = address
  const { cacheDirectory } = settings
  const snapshot = snapshotDirectory(cacheDirectory, repository, commit)
  const context: TransferContext = { address, commit, ...options }
  const wanted = new Set<string>()
  const downloaded: string[] = []
  const hashes = new Map<string, string>()

  const download = async (files: readonly HubFile[]): Promise<void> => {
    files.forEach(({ path }) => wanted.add(path))
    const isThere = ({ path }: HubFile): boolean => existsSync(join(snapshot, path))
    const missing = files.filter((file) => !isThere(file))
    await checkSpace(cacheDirectory, repository, missing)
    const totalBytes = files.reduce((sum, { size }) => sum + size, 0)
    let done = files.filter(isThere).reduce((sum, { size }) => sum + size, 0)
    for (const file of missing) {
      const blob = blobPath(cacheDirectory, repository, file.sha256 ?? file.gitId)
      if (!existsSync(blob)) {
        const before = done
        await downloadVerified(file, blob, context, (bytes) =>
          onProgress?.({ file: file.path, bytes: before + bytes, totalBytes }),
        )
        downloaded.push(file.path)
      }
      await linkBlob(blob, join(snapshot, file.path))
      // Known by both names: a single file is opened by its real path.
      if (file.sha256 !== undefined) hashes.set(join(snapshot, file.path), file.sha256).set(blob, file.sha256)
      done += file.size
    }
  }
  const path = address.file === undefined ? snapshot : join(snapshot, address.file)
  return { download, result: (): PulledModel => ({ path, commit, files: [...wanted], downloaded, hashes }) }
}

const ModelIndex = z.object({ _class_name: z.string() })

function checkPipeline(repository: string, path: string): void {
  const { _class_name: name } = readConfig(path, ModelIndex)
  if (PIPELINES.includes(name)) return
  throw new SwiftdError(
    'UNSUPPORTED_MODEL',
    `${repository} is a ${name}; swiftd runs Stable Diffusion 1.x, 2.x and SDXL models.`,
  )
}

async function checkSpace(directory: string, repository: string, files: readonly HubFile[]): Promise<void> {
  await mkdir(directory, { recursive: true })
  const { bavail, bsize } = await statfs(directory)
  const begun = await Promise.all(
    files.map(async ({ sha256, gitId }) => {
      const partial = `${blobPath(directory, repository, sha256 ?? gitId)}.incomplete`
      return stat(partial).then(
        ({ size }) => size,
        () => 0,
      )
    }),
  )
  const needed = files.reduce((sum, { size }, index) => sum + Math.max(0, size - begun[index]), 0)
  if (needed <= bavail * bsize) return
  const [want, have] = [needed, bavail * bsize].map(formatBytes)
  throw new SwiftdError('OUTPUT_NOT_WRITABLE', `${repository} needs ${want}, but ${directory} has only ${have} left.`)
}
