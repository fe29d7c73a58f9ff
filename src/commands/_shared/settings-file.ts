import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { SwiftdError } from '../../engine/errors.js'
import { SETTINGS, type SettingKey } from './settings.js'

/** `$XDG_CONFIG_HOME/swiftd/config.json`, where the settings are kept. */
export function settingsPath(environment: NodeJS.ProcessEnv = process.env): string {
  return join(settingsDirectory(environment), `${NAME}.json`)
}

const NAME = 'config'

function settingsDirectory(environment: NodeJS.ProcessEnv): string {
  return join(environment.XDG_CONFIG_HOME || join(environment.HOME || homedir(), '.config'), 'swiftd')
}

/**
 * What the file says, as it is there. It is read with no more than JSON.parse: every command does so, and loading conf
 * takes longer than most of them.
 * @throws SwiftdError INVALID_REQUEST if the file cannot be read or is not a JSON object
 */
export function readSettings(path: string = settingsPath()): Readonly<Record<string, unknown>> {
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    if (code === 'ENOENT') return {}
    throw damaged(path, `cannot be read (${code})`, error)
  }
  let value: unknown
  try {
    value = JSON.parse(content)
  } catch (error) {
    throw damaged(path, 'is not JSON', error)
  }
  if (isRecord(value)) return value
  throw damaged(path, 'is not a JSON object')
}

/**
 * Changes the file: keys with undefined are removed. The old file stays as it is if the new one cannot be written.
 * @throws SwiftdError OUTPUT_NOT_WRITABLE, and what `readSettings` throws
 */
export async function writeSettings(changes: Readonly<Record<string, unknown>>): Promise<void> {
  const path = settingsPath()
  readSettings(path)
  const { default: Conf } = await import('conf')
  try {
    const conf = new Conf<Record<string, unknown>>({
      ...{ projectName: 'swiftd', cwd: settingsDirectory(process.env), configName: NAME },
      accessPropertiesByDotNotation: false,
      serialize: (values) => `${JSON.stringify(values, undefined, 2)}\n`,
    })
    conf.store = Object.fromEntries(
      Object.entries({ ...conf.store, ...changes }).filter(([, value]) => value !== undefined),
    )
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new SwiftdError('OUTPUT_NOT_WRITABLE', `Cannot write ${path}: ${reason}.`, { cause: error })
  }
}

/** The error for a value that a setting cannot have. `where` names the file or the variable that has it. */
export function notAllowed(key: SettingKey, given: unknown, where: string, remedy: string): SwiftdError {
  const shown = typeof given === 'string' ? `"${given}"` : JSON.stringify(given)
  return new SwiftdError(
    'INVALID_REQUEST',
    `The setting ${key} of ${where} must be ${SETTINGS[key].expected}, not ${shown}; ${remedy}.`,
  )
}

function damaged(path: string, what: string, cause?: unknown): SwiftdError {
  const sentence = `The configuration file ${path} ${what}; correct it, or remove it to return to the defaults.`
  return new SwiftdError('INVALID_REQUEST', sentence, { cause })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
