import { notAllowed, readSettings, settingsPath } from './settings-file.js'
import { SETTINGS, type Setting, type SettingKey, type SettingValue } from './settings.js'

/** Where a value comes from; a flag would come before all of these. */
export type SettingOrigin = 'environment' | 'config' | 'default'

export interface ResolvedSetting<T> {
  /** Undefined where nothing is set and the setting has no default of its own. */
  readonly value: T | undefined
  readonly origin: SettingOrigin
}

/**
 * A setting without its flag: environment, else configuration file, else default.
 * @throws SwiftdError INVALID_REQUEST that names the variable or the file whose value is not allowed
 */
export function resolveSetting<K extends SettingKey>(
  key: K,
  environment: NodeJS.ProcessEnv = process.env,
  file: Readonly<Record<string, unknown>> = readSettings(settingsPath(environment)),
): ResolvedSetting<SettingValue<K>> {
  const setting = SETTINGS[key] as unknown as Setting<SettingValue<K>>
  const given = environment[setting.env]
  if (given === undefined || given === '') return settingOfFile(key, environment, file)
  const value = setting.read(given)
  if (value === undefined) throw notAllowed(key, given, `the environment (${setting.env})`, 'correct or unset it')
  return { value, origin: 'environment' }
}

function settingOfFile<K extends SettingKey>(
  key: K,
  environment: NodeJS.ProcessEnv,
  file: Readonly<Record<string, unknown>>,
): ResolvedSetting<SettingValue<K>> {
  const setting = SETTINGS[key] as unknown as Setting<SettingValue<K>>
  if (!Object.hasOwn(file, key)) return { value: setting.default, origin: 'default' }
  const value = setting.accept(file[key])
  const remedy = `correct it by "swiftd config set ${key} VALUE", or "swiftd config unset ${key}"`
  if (value === undefined) throw notAllowed(key, file[key], settingsPath(environment), remedy)
  return { value, origin: 'config' }
}

/** The value that a flag has where neither the command line nor the environment gives one. */
export function settingDefault<K extends SettingKey>(key: K): SettingValue<K> | undefined {
  return settingOfFile(key, process.env, readSettings()).value
}

/**
 * The `default` of an oclif flag that stands for a setting: what the configuration file says, else the setting's default.
 *
 *     steps: numberFlag('steps', { …, default: settingFlagDefault('steps'), noCacheDefault: true })
 *
 * Flags need `noCacheDefault`, or the manifest that a build writes would hold the defaults of whoever built. `settingFlag`
 * has both.
 */
export function settingFlagDefault<K extends SettingKey>(key: K): () => Promise<SettingValue<K> | undefined> {
  // oclif expects a promise. The file is read when the value is asked for: most commands ask for none.
  return () => new Promise((resolve) => resolve(settingDefault(key)))
}

/**
 * Likewise, with the environment. For flags of which oclif reads the environment in another way than settings do.
 */
export function resolvedFlagDefault<K extends SettingKey>(key: K): () => Promise<SettingValue<K> | undefined> {
  return () => new Promise((resolve) => resolve(resolveSetting(key).value))
}

/** All that ties a flag to its setting: `Flags.string({ description, ...settingFlag('model') })`. */
export function settingFlag<K extends SettingKey>(key: K) {
  return { env: SETTINGS[key].env, default: settingFlagDefault(key), noCacheDefault: true } as const
}
