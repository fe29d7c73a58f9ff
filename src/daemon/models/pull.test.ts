import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sha256OfFile } from '../../engine/weights/file-hash.js'
import { filesOf, startHubServer, type HubServer } from '../../../test/hub-server.js'
import { hubSettings } from './hub/settings.js'
import { pullAndRegister, type PullRequest, type PullResult } from './pull.js'
import { registerModel } from './register.js'
import { MODELS } from './registry.js'
import { removeNamed } from './remove.js'
import { openModelStore, type ModelStore } from './store.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const UNET = 'unet/diffusion_pytorch_model.fp16.safetensors'

describe('a pulled model', () => {
  const files = filesOf(join(goldens, 'sd21/model'))
  let directory: string
  let store: ModelStore
  let hub: HubServer

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-pulled-'))
    store = openModelStore(join(directory, 'models'))
    hub = await startHubServer({ repository: 'me/Fox-XL', files })
  })
  afterEach(async () => {
    await hub.close()
    rmSync(directory, { recursive: true })
  })

  const pull = (request: Partial<PullRequest> = {}, environment = {}): Promise<PullResult> => {
    const settings = hubSettings({ HF_ENDPOINT: hub.url, ...environment }, store.directory)
    return pullAndRegister(
      { address: 'me/Fox-XL', ...request },
      { store, settings, cacheDirectory: join(directory, 'cache') },
    )
  }
  const names = (): string[] => store.read().records.map(({ name }) => name)

  it('is registered under the name of its repository, with its variant', async () => {
    const { record } = await pull({ variant: 'fp16' })
    expect(record).toMatchObject({ name: 'fox-xl:latest', family: 'sd2', dtype: 'F16', variant: 'fp16' })
    expect(record.pulled).toMatchObject({ repository: 'me/Fox-XL' })
    expect(existsSync(join(record.path, UNET))).toBe(true)
    expect(existsSync(join(record.path, UNET.replace('.fp16', '')))).toBe(false)
  })

  it('is tagged with the revision that was asked for', async () => {
    const { record } = await pull()
    const commit = record.pulled?.commit ?? ''
    await pull({ address: `me/Fox-XL@${commit}` })
    expect(names()).toEqual([`fox-xl:${commit.slice(0, 12)}`, 'fox-xl:latest'].sort())
  })

  it('takes its files along when it is removed', async () => {
    await pull()
    expect(removeNamed(MODELS, store, 'fox-xl')).toEqual({ name: 'fox-xl', filesDeleted: true })
    expect(existsSync(join(store.directory, 'hub/models--me--Fox-XL'))).toBe(false)
    expect(names()).toEqual([])
  })

  it('leaves its files to another model of the same commit', async () => {
    const { record } = await pull({ name: 'one' })
    await pull({ name: 'two', variant: 'fp16' })
    expect(removeNamed(MODELS, store, 'one').filesDeleted).toBe(false)
    expect(existsSync(join(record.path, UNET))).toBe(true)
    expect(removeNamed(MODELS, store, 'two').filesDeleted).toBe(true)
    expect(existsSync(record.path)).toBe(false)
  })

  it('leaves its files to a model that was registered where they lie', async () => {
    const { record } = await pull({ name: 'one' })
    await registerModel({ path: record.path, name: 'two' }, { store, cacheDirectory: join(directory, 'cache') })
    expect(removeNamed(MODELS, store, 'one').filesDeleted).toBe(false)
    expect(existsSync(join(record.path, 'model_index.json'))).toBe(true)
  })

  it('leaves in a shared cache what was there before', async () => {
    const shared = { HF_HOME: join(directory, 'hf') }
    const { record } = await pull({ name: 'one' }, shared)
    const before = join(directory, 'hf/hub/models--me--Fox-XL')
    store.remove('one:latest')
    await pull({ name: 'two' }, shared)
    expect(removeNamed(MODELS, store, 'two').filesDeleted).toBe(false)
    expect(existsSync(record.path)).toBe(true)
    hub.commit({ ...files, 'unet/config.json': Buffer.concat([files['unet/config.json'], Buffer.from(' ')]) })
    const updated = await pull({ name: 'two' }, shared)
    expect(updated.record.pulled?.files).toEqual(['unet/config.json'])
    removeNamed(MODELS, store, 'two')
    expect(existsSync(join(updated.record.path, 'unet/config.json'))).toBe(false)
    expect(existsSync(join(record.path, 'unet/config.json'))).toBe(true)
    expect(existsSync(before)).toBe(true)
  })

  it('is brought up to date by pulling it again, and drops what the old commit alone had', async () => {
    const first = await pull()
    expect((await pull()).downloaded).toEqual([])
    hub.commit({ ...files, 'unet/config.json': Buffer.concat([files['unet/config.json'], Buffer.from(' ')]) })
    const second = await pull()
    expect(second.downloaded).toEqual(['unet/config.json'])
    expect(existsSync(first.record.path)).toBe(false)
    expect(readFileSync(join(second.record.path, 'unet/config.json'), 'utf8').endsWith(' ')).toBe(true)
    expect(names()).toEqual(['fox-xl:latest'])
  })

  it('does not take the name of another model, and downloads nothing for it', async () => {
    await registerModel(
      { path: join(goldens, 'sd15/model'), name: 'fox-xl' },
      { store, cacheDirectory: join(directory, 'cache') },
    )
    await expect(pull()).rejects.toThrow(/"fox-xl" belongs to/)
    expect(hub.requests).toEqual([])
  })

  it('may be a single file, known by its SHA-256 and configured as one on this machine', async () => {
    const path = join(goldens, 'sd21/sd21.original.safetensors')
    hub.commit({ 'fox.safetensors': readFileSync(path) })
    const request = { address: 'me/Fox-XL/fox.safetensors', configuration: join(goldens, 'sd21/model') }
    await expect(pull({ ...request, variant: 'fp16' })).rejects.toThrow(/--variant is for folders/)
    expect(hub.requests).toEqual([])
    const { record } = await pull(request)
    expect(record).toMatchObject({
      name: 'fox:latest',
      kind: 'file',
      family: 'sd2',
      configuration: request.configuration,
    })
    expect(record.digest).toBe(await sha256OfFile(path, join(directory, 'cache')))
    expect(removeNamed(MODELS, store, 'fox').filesDeleted).toBe(true)
    expect(existsSync(record.path)).toBe(false)
  })

  it('is not registered if it does not open; its files are kept', async () => {
    hub.commit({ ...files, 'unet/config.json': Buffer.from('{}') })
    const attempt = pull()
    await expect(attempt).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(attempt).rejects.toThrow(/files are kept at/)
    expect(names()).toEqual([])
  })

  it('deletes nothing outside of its snapshot, whatever its record says', async () => {
    const { record } = await pull()
    if (!record.pulled) throw new Error('not pulled')
    const victim = join(directory, 'victim')
    writeFileSync(victim, 'mine')
    const paths = [relative(record.path, victim), victim, 'model_index.json']
    store.put({ ...record, pulled: { ...record.pulled, files: paths } })
    removeNamed(MODELS, store, 'fox-xl')
    expect(existsSync(victim)).toBe(true)
    expect(existsSync(join(record.path, UNET.replace('.fp16', '')))).toBe(true)
    expect(existsSync(join(record.path, 'model_index.json'))).toBe(false)
  })
})

describe('removing a model', () => {
  it('needs the whole name, and tells the names there are', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'swiftd-remove-'))
    try {
      const store = openModelStore(join(directory, 'models'))
      const path = join(goldens, 'sd15/model')
      await registerModel({ path, name: 'fox' }, { store, cacheDirectory: directory })
      expect(() => removeNamed(MODELS, store, 'fo')).toThrow(/no model "fo" to remove; there are fox/)
      expect(() => removeNamed(MODELS, store, 'demo')).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
      expect(removeNamed(MODELS, store, 'fox:latest')).toEqual({ name: 'fox', filesDeleted: false })
      expect(existsSync(path)).toBe(true)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
