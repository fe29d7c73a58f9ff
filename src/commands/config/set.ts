import { Args } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import { BaseCommand } from '../_shared/base-command.js'
import { pickName } from '../_shared/pick-name.js'
import { writeSettings } from '../_shared/settings-file.js'
import { formatSetting, SETTING_KEYS, SETTINGS, type SettingKey } from '../_shared/settings.js'

/** What --json prints. */
export interface SetResult {
  readonly key: SettingKey
  readonly value: unknown
}

export default class ConfigSet extends BaseCommand {
  static override summary = 'Set what holds where a command does not say otherwise.'

  static override description =
    'Flags and environment variables come before it. Settings of the daemon take effect when it starts again.'

  static override examples = [
    '<%= config.bin %> config set steps 30',
    '<%= config.bin %> config set scheduler "DPM++ 2M Karras"',
    '<%= config.bin %> config set devices cpu:0=2,cpu:1=2',
  ]

  static override args = {
    key: Args.string({ description: 'Name of a setting.', required: true }),
    value: Args.string({ description: 'Its value; of lists, the items with commas between.', required: true }),
  }

  async run(): Promise<SetResult> {
    const { args } = await this.parse(ConfigSet)
    const key = pickName(args.key, { what: 'setting', names: SETTING_KEYS }) as SettingKey
    const { expected, read } = SETTINGS[key]
    const value = read(args.value)
    if (value === undefined)
      throw new SwiftdError('INVALID_REQUEST', `${key} must be ${expected}, not "${args.value}".`)
    await writeSettings({ [key]: value })
    if (!this.jsonEnabled()) this.log(`${key} = ${formatSetting(value)}`)
    return { key, value }
  }
}
