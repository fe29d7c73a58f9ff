import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ModelRecord } from './record.js'
import { dataDirectory, openModelStore } from './store.js'

const record: ModelRecord = {
  name: 'fox:latest',
  path: '/models/fox.safetensors',
  kind: 'file',
  family: 'sd1',
  added: '2026-01-01T00:00:00.000Z',
  digest: 'a'.repeat(64),
  bytes: 10,
  dtype: 'F16',
}

describe('model store', () => {
  let directory: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-store-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('lies in the data directory of the user', () => {
    expect(dataDirectory('models', { XDG_DATA_HOME: '/data', HOME: '/home/me' })).toBe('/data/swiftd/models')
    expect(dataDirectory('models', { HOME: '/home/me' })).toBe('/home/me/.local/share/swiftd/models')
  })

  it('is empty where nothing was ever registered', () => {
    expect(openModelStore(join(directory, 'absent')).read()).toEqual({ records: [], damaged: [] })
  })

  it('gives back what was put, in the order of names, and replaces a record of the same name', () => {
    const store = openModelStore(join(directory, 'new'))
    const tagged = { ...record, name: 'fox:v2', configuration: '/models/fox', variant: 'fp16' }
    store.put(tagged)
    store.put(record)
    store.put({ ...record, bytes: 11 })
    expect(openModelStore(store.directory).read()).toEqual({ records: [{ ...record, bytes: 11 }, tagged], damaged: [] })
    expect(readdirSync(store.directory)).toEqual(['fox@latest.json', 'fox@v2.json'])
  })

  it('removes a record once', () => {
    const store = openModelStore(directory)
    store.put(record)
    expect([store.remove('fox:latest'), store.remove('fox:latest')]).toEqual([true, false])
    expect(store.read().records).toEqual([])
  })

  it('reports damaged records by name and reads the others', () => {
    const store = openModelStore(directory)
    store.put(record)
    writeFileSync(join(directory, 'cut@latest.json'), '{"name": "cut:la')
    writeFileSync(join(directory, 'old@latest.json'), JSON.stringify({ ...record, name: 'old:latest', bytes: 'many' }))
    writeFileSync(join(directory, 'other@latest.json'), JSON.stringify(record))
    const { records, damaged } = store.read()
    expect(records).toEqual([record])
    expect(damaged).toEqual([
      { name: 'cut:latest', reason: 'it is not JSON' },
      { name: 'old:latest', reason: 'bytes is missing or wrong' },
      { name: 'other:latest', reason: 'it says that its name is fox:latest' },
    ])
    expect(store.remove('cut:latest')).toBe(true)
  })

  it('says what it cannot write', () => {
    writeFileSync(join(directory, 'file'), '')
    const store = openModelStore(join(directory, 'file', 'models'))
    expect(() => store.put(record)).toThrow(expect.objectContaining({ code: 'OUTPUT_NOT_WRITABLE' }))
  })
})
