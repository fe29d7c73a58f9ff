import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { resolveSetting } from './setting-values.js'
import { readSettings, settingsPath } from './settings-file.js'
import { SETTING_KEYS, SETTINGS } from './settings.js'

let home: string
let environment: Record<string, string>

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'swiftd-settings-'))
  environment = { HOME: home, XDG_CONFIG_HOME: join(home, 'config') }
})
afterEach(() => rmSync(home, { recursive: true }))

function write(content: string): void {
  const path = settingsPath(environment)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

describe('settings', () => {
  it('come from the environment, else from the file, else from the table', () => {
    expect(resolveSetting('model', environment)).toEqual({ value: 'demo', origin: 'default' })
    write('{"model": "fox", "steps": 12}')
    expect(resolveSetting('model', environment)).toEqual({ value: 'fox', origin: 'config' })
    const more = { ...environment, SWIFTD_MODEL: 'owl', SWIFTD_STEPS: '' }
    expect(resolveSetting('model', more)).toEqual({ value: 'owl', origin: 'environment' })
    expect(resolveSetting('steps', more)).toEqual({ value: 12, origin: 'config' })
    expect(resolveSetting('width', more)).toEqual({ value: undefined, origin: 'default' })
  })

  it('are read as people write them', () => {
    const of = (name: string, text: string) => SETTINGS[name as 'model'].read(text) as unknown
    expect(of('devices', ' cpu:0=1, cpu:1=2 ')).toEqual(['cpu:0=1', 'cpu:1=2'])
    expect(['yes', 'off', '1', 'perhaps'].map((text) => of('autostart', text))).toEqual([true, false, true, undefined])
    expect(['0.3', '4', '1.5', '-1', ''].map((text) => of('lora-bound', text))).toEqual([
      0.3,
      4,
      undefined,
      undefined,
      undefined,
    ])
    expect(['nv', 'gpu'].map((text) => of('rng', text))).toEqual(['nv', undefined])
  })

  it('are refused with the place and the remedy', () => {
    const bad = { ...environment, SWIFTD_STEPS: 'many' }
    expect(() => resolveSetting('steps', bad)).toThrow(
      'The setting steps of the environment (SWIFTD_STEPS) must be a whole number from 1 to 1000, not "many"; correct',
    )
    write('{"width": 65}')
    expect(() => resolveSetting('width', environment)).toThrow(
      `The setting width of ${settingsPath(environment)} must be a whole number from 64 to 4096 and a multiple of 8, not 65;`,
    )
  })

  it.each(['{', '[]', 'null'])('name a file that is damaged: %s', (content) => {
    write(content)
    const path = settingsPath(environment)
    expect(() => readSettings(path)).toThrow(
      new RegExp(`^The configuration file ${path} is not .*; correct it, or remove`),
    )
  })

  it('have variables of their own', () => {
    const names = SETTING_KEYS.map((key) => SETTINGS[key].env)
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !/^SWIFTD_[A-Z_]+$/.test(name))).toEqual([])
  })
})
