import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  filesOf,
  startHubServer,
  type Files,
  type HubServer,
  type HubServerOptions,
} from '../../../../test/hub-server.js'
import { parseHubAddress } from './address.js'
import { pullModel, type PulledModel, type PullOptions, type PullProgress } from './pull.js'
import { hubSettings } from './settings.js'

const goldens = fileURLToPath(new URL('../../../../fixtures/goldens/', import.meta.url))
const UNET = 'unet/diffusion_pytorch_model.safetensors'

describe('pulling a model', () => {
  let directory: string
  let server: HubServer | undefined
  const files: Files = {
    ...filesOf(join(goldens, 'sd15/model')),
    'fox.ckpt': Buffer.from('pickle'),
    'README.md': Buffer.from('# fox'),
    'fox.safetensors': readFileSync(join(goldens, 'sd15/sd15.original.safetensors')),
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-pull-'))
  })
  afterEach(async () => {
    await server?.close()
    server = undefined
    rmSync(directory, { recursive: true })
  })

  const start = async (options: Partial<HubServerOptions> = {}): Promise<HubServer> => {
    server = await startHubServer({ repository: 'me/fox', files, ...options })
    return server
  }
  const pull = (address = 'me/fox', options: Partial<PullOptions> = {}, environment = {}): Promise<PulledModel> => {
    const settings = hubSettings({ HF_ENDPOINT: server?.url, ...environment }, directory)
    return pullModel(parseHubAddress(address), { settings, retryDelayMs: 1, ...options })
  }
  // Comparing the bytes by `toEqual` would take seconds.
  const isFox = (path: string): boolean => readFileSync(path).equals(files['fox.safetensors'])
  const failure = (code: string, message: RegExp): unknown =>
    expect.objectContaining({ code, message: expect.stringMatching(message) as string })
  const partialUnet = (): string => {
    const blobs = join(directory, 'hub/models--me--fox/blobs')
    return join(blobs, readdirSync(blobs).find((name) => name.endsWith('.incomplete')) ?? 'none')
  }

  it('brings the files of the folder, bit for bit, and no others', async () => {
    await start()
    const { path, downloaded, hashes } = await pull()
    const wanted = Object.keys(filesOf(join(goldens, 'sd15/model'))).sort()
    expect(filesIn(path)).toEqual(wanted)
    for (const file of wanted) expect(readFileSync(join(path, file)).equals(files[file])).toBe(true)
    expect([...downloaded].sort()).toEqual(wanted)
    expect(hashes.get(join(path, UNET))).toMatch(/^[0-9a-f]{64}$/)
  })

  it('brings one file where one is named', async () => {
    await start()
    const { path, downloaded } = await pull('me/fox/fox.safetensors')
    expect(isFox(path)).toBe(true)
    expect(downloaded).toEqual(['fox.safetensors'])
  })

  it('downloads nothing twice, and only what changed in a new commit', async () => {
    const hub = await start()
    const first = await pull()
    hub.requests.length = 0
    expect(await pull()).toMatchObject({ path: first.path, downloaded: [] })
    expect(hub.requests.every(({ path }) => path.startsWith('/api/'))).toBe(true)
    hub.commit({ ...files, 'unet/config.json': Buffer.from('{}') })
    const second = await pull()
    expect(second.downloaded).toEqual(['unet/config.json'])
    expect(realpathSync(join(second.path, UNET))).toBe(realpathSync(join(first.path, UNET)))
    expect(readFileSync(join(first.path, 'unet/config.json'))).toEqual(files['unet/config.json'])
  })

  it('reports progress up to the size of the model', async () => {
    await start()
    const reports: PullProgress[] = []
    const { path } = await pull('me/fox', { onProgress: (progress) => reports.push(progress) })
    const total = filesIn(path).reduce((sum, file) => sum + statSync(join(path, file)).size, 0)
    expect(reports.at(-1)).toMatchObject({ bytes: total, totalBytes: total })
  })

  it('goes on at the byte where the connection broke', async () => {
    const hub = await start()
    hub.faults = { breakAfter: { bytes: 100_000, times: 3 } }
    const { path } = await pull('me/fox/fox.safetensors')
    expect(isFox(path)).toBe(true)
    const ranges = hub.requests.flatMap(({ host, range }) =>
      host === 'storage' && range !== 'bytes=0-0' ? [range] : [],
    )
    const end = files['fox.safetensors'].byteLength - 1
    expect(ranges).toEqual([undefined, ...[1, 2, 3].map((n) => `bytes=${n * 100_000}-${end}`)])
  })

  it('gives up when nothing arrives any more, and a later call goes on', async () => {
    const hub = await start()
    hub.faults = { breakAfter: { bytes: 200_000, times: 1 } }
    const sent = (): number =>
      hub.requests.filter(({ host, range }) => host === 'storage' && range !== 'bytes=0-0').length
    const onProgress = ({ bytes }: PullProgress): void => {
      if (bytes >= 200_000) hub.faults = { status: 503 }
    }
    await expect(pull('me/fox/fox.safetensors', { onProgress })).rejects.toThrow(failure('DOWNLOAD_FAILED', /kept/))
    expect(statSync(partialUnet()).size).toBe(200_000)
    hub.faults = {}
    hub.requests.length = 0
    expect(isFox((await pull('me/fox/fox.safetensors')).path)).toBe(true)
    expect(sent()).toBe(1)
    expect(hub.requests.at(-1)?.range).toMatch(/^bytes=200000-/)
  })

  it('deletes a file whose checksum is wrong, and says so', async () => {
    const hub = await start()
    hub.faults = { corrupt: true }
    await expect(pull('me/fox/fox.safetensors')).rejects.toThrow(
      failure('INVALID_WEIGHTS', /fox.safetensors.*checksum/),
    )
    expect(readdirSync(join(directory, 'hub/models--me--fox/blobs'))).toEqual([])
    hub.faults = {}
    expect(existsSync((await pull('me/fox/fox.safetensors')).path)).toBe(true)
  })

  it.each([
    ['is damaged', (path: string) => writeFileSync(path, Buffer.alloc(1_000, 1))],
    ['is too long', (path: string) => truncateSync(path, 10_000_000)],
  ])('begins anew where what an earlier call left %s', async (_, damage) => {
    const hub = await start()
    hub.faults = { breakAfter: { bytes: 1_000, times: 1 } }
    const onProgress = ({ bytes }: PullProgress): void => {
      if (bytes >= 1_000) hub.faults = { status: 503 }
    }
    await expect(pull('me/fox/fox.safetensors', { onProgress })).rejects.toThrow()
    damage(partialUnet())
    hub.faults = {}
    expect(isFox((await pull('me/fox/fox.safetensors')).path)).toBe(true)
  })

  it('notices a server that cannot continue a file', async () => {
    const hub = await start()
    hub.faults = { breakAfter: { bytes: 1_000, times: 1 }, ignoreRanges: true }
    expect(isFox((await pull('me/fox/fox.safetensors')).path)).toBe(true)
  })

  it('shares one download between two that begin at once', async () => {
    const hub = await start()
    hub.faults = { breakAfter: { bytes: 300_000, times: 2 } }
    const [first, second] = await Promise.all([pull('me/fox/fox.safetensors'), pull('me/fox/fox.safetensors')])
    expect(first.path).toBe(second.path)
    expect(isFox(first.path)).toBe(true)
  })

  it('stops with the reason of its signal', async () => {
    await start()
    const stop = new AbortController()
    const reason = new Error('enough')
    const onProgress = (): void => stop.abort(reason)
    await expect(pull('me/fox/fox.safetensors', { signal: stop.signal, onProgress })).rejects.toBe(reason)
  })

  it('sends the token to the hub, and not to where large files lie', async () => {
    const hub = await start({ token: 'hf_secret' })
    await expect(pull()).rejects.toThrow(failure('MODEL_NOT_FOUND', /me\/fox.*HF_TOKEN/))
    hub.requests.length = 0
    await pull('me/fox', {}, { HF_TOKEN: 'hf_secret' })
    const tokens = (host: string): unknown[] =>
      hub.requests.filter((request) => request.host === host).map(({ authorization }) => authorization)
    expect(new Set(tokens('hub'))).toEqual(new Set(['Bearer hf_secret']))
    expect(new Set(tokens('storage'))).toEqual(new Set([undefined]))
  })

  it('explains what it may not have or what is not there', async () => {
    await start({ gated: true })
    await expect(pull()).rejects.toThrow(failure('MODEL_NOT_FOUND', /restricted; accept its terms at http.*me\/fox/))
    await server?.close()
    await start()
    await expect(pull('me/wolf')).rejects.toThrow(failure('MODEL_NOT_FOUND', /me\/wolf is not on/))
    await expect(pull('me/fox@v9')).rejects.toThrow(failure('MODEL_NOT_FOUND', /revision "v9"/))
    await expect(pull('me/fox/wolf.safetensors')).rejects.toThrow(failure('MODEL_NOT_FOUND', /try fox.safetensors/))
  })

  it('explains that the hub cannot be reached', async () => {
    const { url } = await start()
    await server?.close()
    const attempt = pull('me/fox', {}, { HF_ENDPOINT: url })
    await expect(attempt).rejects.toThrow(failure('DOWNLOAD_FAILED', /127\.0\.0\.1.*ECONNREFUSED/))
  })

  it('refuses other pipelines before it downloads their weights', async () => {
    const index = Buffer.from('{"_class_name": "FluxPipeline"}')
    const hub = await start({ files: { ...files, 'model_index.json': index } })
    await expect(pull()).rejects.toThrow(failure('UNSUPPORTED_MODEL', /me\/fox is a FluxPipeline/))
    expect(hub.requests.some(({ host }) => host === 'storage')).toBe(false)
  })

  it('ignores paths that lead out of the folder', async () => {
    await start({ files: { ...files, '../../../../evil.safetensors': Buffer.from('x') } })
    await expect(pull('me/fox/evil.safetensors')).rejects.toThrow(failure('MODEL_NOT_FOUND', /no file/))
  })

  it('takes what was pulled before when offline, without a request', async () => {
    const hub = await start()
    const offline = { HF_HUB_OFFLINE: '1' }
    await expect(pull('me/fox', {}, offline)).rejects.toThrow(failure('MODEL_NOT_FOUND', /HF_HUB_OFFLINE/))
    const { path, commit } = await pull()
    hub.requests.length = 0
    expect(await pull('me/fox', {}, offline)).toMatchObject({ path, commit, downloaded: [] })
    expect(await pull(`me/fox@${commit}`, {}, offline)).toMatchObject({ path })
    await expect(pull('me/fox/fox.safetensors', {}, offline)).rejects.toThrow(failure('MODEL_NOT_FOUND', /cache/))
    expect(hub.requests).toEqual([])
  })

  it('uses what other programs have put into a shared cache', async () => {
    await start()
    const { path } = await pull('me/fox', {}, { HF_HOME: join(directory, 'hf') })
    expect(path.startsWith(join(directory, 'hf/hub/models--me--fox/snapshots'))).toBe(true)
    expect(readFileSync(join(directory, 'hf/hub/models--me--fox/refs/main'), 'utf8')).toBe(path.split('/').at(-1))
    rmSync(path, { recursive: true })
    expect((await pull('me/fox', {}, { HF_HOME: join(directory, 'hf') })).downloaded).toEqual([])
  })
})

/** Links count as the files that they lead to. */
function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  return entries.filter((path) => statSync(join(folder, path)).isFile())
}
