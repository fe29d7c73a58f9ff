import { Args } from '@oclif/core'
import { BaseCommand } from '../_shared/base-command.js'
import { pickName } from '../_shared/pick-name.js'
import { resolveSetting, type SettingOrigin } from '../_shared/setting-values.js'
import { formatSetting, SETTING_KEYS, type SettingKey } from '../_shared/settings.js'

/** What --json prints. */
export interface GetResult {
  readonly key: SettingKey
  /** Absent where nothing is set and what holds depends on the model. */
  readonly value?: unknown
  readonly origin: SettingOrigin
}

export default class ConfigGet extends BaseCommand {
  static override summary = 'Print the value of a setting.'

  static override description =
    'Prints nothing if it is not set and what holds depends on the model; "config list" has all settings.'

  static override examples = ['<%= config.bin %> config get model', '<%= config.bin %> config get steps --json']

  static override args = {
    key: Args.string({ description: 'Name of a setting.', required: true }),
  }

  async run(): Promise<GetResult> {
    const { args } = await this.parse(ConfigGet)
    const key = pickName(args.key, { what: 'setting', names: SETTING_KEYS }) as SettingKey
    const { value, origin } = resolveSetting(key)
    if (!this.jsonEnabled() && value !== undefined) this.log(formatSetting(value))
    return { key, ...(value !== undefined && { value }), origin }
  }
}
