import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { registerModel } from './register.js'
import { findModel, listModels } from './registry.js'
import { openModelStore, type ModelStore } from './store.js'

const FOLDER = fileURLToPath(new URL('../../../fixtures/goldens/sd15/model', import.meta.url))
const FILE = fileURLToPath(new URL('../../../fixtures/goldens/sd15/sd15.original.safetensors', import.meta.url))

describe('model registry', () => {
  let directory: string
  let store: ModelStore

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-registry-'))
    store = openModelStore(join(directory, 'models'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const add = (name: string, more = {}): unknown =>
    registerModel({ path: FOLDER, name, ...more }, { store, cacheDirectory: join(directory, 'cache') })

  it('knows the demo model, which comes with the package', () => {
    const { path, defaults } = findModel('demo', store)
    expect(existsSync(join(path, 'model_index.json'))).toBe(true)
    expect(defaults).toEqual({ numInferenceSteps: 20, guidanceScale: 5 })
    expect(listModels(store).map(({ name }) => name)).toEqual(['demo'])
  })

  it('takes the path of any folder or file, if it is absolute', () => {
    expect(findModel(FOLDER, store)).toEqual({ name: FOLDER, path: FOLDER })
    expect(findModel(FILE, store)).toEqual({ name: FILE, path: FILE })
    expect(() => findModel('./fixtures', store)).toThrow(/absolute paths/)
    expect(() => findModel('/no/such/folder', store)).toThrow(expect.objectContaining({ code: 'MODEL_NOT_FOUND' }))
  })

  it('finds registered models with the settings that they were registered with', async () => {
    await add('fox', { path: FILE, configuration: FOLDER })
    const model = { name: 'fox', path: FILE, options: { configuration: FOLDER } }
    expect(findModel('fox', store)).toEqual(model)
    expect(findModel('fox:latest', store)).toEqual(model)
    expect(findModel('f', store)).toEqual(model)
    expect(listModels(store).map(({ name }) => name)).toEqual(['demo', 'fox'])
  })

  it('refuses the beginning of several names, and tells them', async () => {
    await add('fox')
    await add('fox:v2')
    await add('foxglove')
    expect(findModel('fox', store).name).toBe('fox')
    expect(() => findModel('fo', store)).toThrow(/any of fox, fox:v2, foxglove/)
  })

  it('names the nearest models for one that it does not know', async () => {
    await add('fox')
    expect(() => findModel('dmeo', store)).toThrow(
      expect.objectContaining({
        code: 'MODEL_NOT_FOUND',
        message: expect.stringMatching(/"dmeo".*demo, fox/) as string,
      }),
    )
  })

  it('says that a record is damaged, and finds the other models', async () => {
    await add('fox')
    writeFileSync(join(store.directory, 'owl@latest.json'), '{')
    expect(() => findModel('owl', store)).toThrow(/record of the model "owl" is damaged; "swiftd model rm owl"/)
    expect(findModel('fox', store).name).toBe('fox')
  })
})
