import { createHash } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { registerModel, type ModelRegistration, type RegisteredModel } from './register.js'
import { openModelStore, type ModelStore } from './store.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const FOLDER = join(goldens, 'sd15/model')
const FILE = join(goldens, 'sd15/sd15.original.safetensors')

describe('registering a model', () => {
  let directory: string
  let store: ModelStore

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-register-'))
    store = openModelStore(join(directory, 'models'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const register = (registration: ModelRegistration): Promise<RegisteredModel> =>
    registerModel(registration, { store, cacheDirectory: join(directory, 'cache') })

  it('records a file where it lies, under its own name and with its SHA-256', async () => {
    const { record, description } = await register({ path: FILE, configuration: FOLDER })
    expect(record).toMatchObject({ name: 'sd15.original:latest', path: FILE, kind: 'file', configuration: FOLDER })
    expect(record).toMatchObject({ family: 'sd1', dtype: 'F32', bytes: description.bytes })
    expect(record.digest).toBe(createHash('sha256').update(readFileSync(FILE)).digest('hex'))
    expect(store.read().records).toEqual([record])
  })

  it('gives folders with the same weights the same digest, and others another', async () => {
    cpSync(FOLDER, join(directory, 'copy'), { recursive: true })
    const [one, copy, other] = [
      await register({ path: FOLDER, name: 'one' }),
      await register({ path: join(directory, 'copy') }),
      await register({ path: join(goldens, 'sd15-inpaint/model'), name: 'other' }),
    ].map(({ record }) => record.digest)
    expect(copy).toBe(one)
    expect(other).not.toBe(one)
  })

  it('does not add what does not open', async () => {
    const cut = join(directory, 'cut.safetensors')
    cpSync(FILE, cut)
    truncateSync(cut, 10_000)
    await expect(register({ path: cut, configuration: FOLDER })).rejects.toMatchObject({ code: 'INVALID_WEIGHTS' })
    await expect(register({ path: join(directory, 'no') })).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    await expect(register({ path: goldens })).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    await expect(register({ path: FILE })).rejects.toMatchObject({ code: 'UNSUPPORTED_MODEL' })
    const pickle = join(directory, 'model.ckpt')
    writeFileSync(pickle, 'x')
    await expect(register({ path: pickle })).rejects.toThrow(/pickled/)
    expect(store.read().records).toEqual([])
  })

  it('renews the record of the same path, and keeps a name from another model', async () => {
    await register({ path: FOLDER, name: 'fox' })
    await register({ path: FOLDER, name: 'fox', vae: join(goldens, 'sd15-inpaint/model/vae') })
    expect(store.read().records.map(({ name, vae }) => [name, vae !== undefined])).toEqual([['fox:latest', true]])
    symlinkSync(FOLDER, join(directory, 'fox'))
    await expect(register({ path: join(directory, 'fox') })).rejects.toThrow(/"fox" belongs to the model at .*--name/)
    await expect(register({ path: FOLDER, name: 'demo' })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(register({ path: FOLDER, name: 'demo:v2' })).resolves.toMatchObject({ record: { name: 'demo:v2' } })
  })

  it('refuses settings that do not fit the kind of model', async () => {
    await expect(register({ path: FOLDER, configuration: FOLDER })).rejects.toThrow(/--config is for single files/)
    await expect(register({ path: FILE, configuration: FOLDER, variant: 'fp16' })).rejects.toThrow(/--variant is for/)
  })
})
