import { Flags } from '@oclif/core'
import { BaseCommand } from '../_shared/base-command.js'
import { readSettings, settingsPath } from '../_shared/settings-file.js'
import { resolveSetting, type SettingOrigin } from '../_shared/setting-values.js'
import { formatSetting, SETTING_KEYS, SETTINGS, type SettingKey } from '../_shared/settings.js'
import { formatColumns } from '../_shared/table.js'

export interface ListedSetting {
  readonly key: SettingKey
  /** Absent where nothing is set and what holds depends on the model. */
  readonly value?: unknown
  readonly origin: SettingOrigin
  readonly env: string
  readonly description: string
}

/** What --json prints. */
export interface ConfigListResult {
  readonly path: string
  readonly settings: readonly ListedSetting[]
}

export default class ConfigList extends BaseCommand {
  static override summary = 'List all settings with what holds at present.'

  static override description =
    'A value is taken from the flag of the command, else from the environment, else from the configuration file, else it ' +
    'is the default.'

  static override examples = ['<%= config.bin %> config list', '<%= config.bin %> config list --origin']

  static override flags = {
    origin: Flags.boolean({ description: 'Tell for each where its value comes from.', env: 'SWIFTD_CONFIG_ORIGIN' }),
  }

  async run(): Promise<ConfigListResult> {
    const { flags } = await this.parse(ConfigList)
    const path = settingsPath()
    const file = readSettings(path)
    const settings = SETTING_KEYS.map((key) => describe(key, file))
    if (!this.jsonEnabled()) {
      const header = ['SETTING', 'VALUE', ...(flags.origin ? ['ORIGIN'] : [])]
      const rows = settings.map((each) => [each.key, shown(each), ...(flags.origin ? [originOf(each, path)] : [])])
      this.log(formatColumns([header, ...rows]))
      const unknown = Object.keys(file).filter((key) => !Object.hasOwn(SETTINGS, key))
      for (const key of unknown) {
        this.logToStderr(`Note: ${path} has the unknown setting "${key}"; "swiftd config unset ${key}" removes it.`)
      }
    }
    return { path, settings }
  }
}

function describe(key: SettingKey, file: Readonly<Record<string, unknown>>): ListedSetting {
  const { env, description } = SETTINGS[key]
  const { value, origin } = resolveSetting(key, process.env, file)
  return { key, ...(value !== undefined && { value }), origin, env, description }
}

function shown({ key, value }: ListedSetting): string {
  return value === undefined ? `(${SETTINGS[key].usual})` : formatSetting(value)
}

function originOf({ origin, env }: ListedSetting, path: string): string {
  if (origin === 'environment') return `environment (${env})`
  return origin === 'config' ? `config (${path})` : 'default'
}
