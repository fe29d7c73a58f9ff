import { Args } from '@oclif/core'
import { BaseCommand } from '../_shared/base-command.js'
import { pickName } from '../_shared/pick-name.js'
import { readSettings, writeSettings } from '../_shared/settings-file.js'
import { SETTING_KEYS } from '../_shared/settings.js'

/** What --json prints. */
export interface UnsetResult {
  readonly key: string
  /** False if it was not set. */
  readonly removed: boolean
}

export default class ConfigUnset extends BaseCommand {
  static override summary = 'Return a setting to its default.'

  static override description = 'Succeeds also if it is not set.'

  static override examples = ['<%= config.bin %> config unset steps']

  static override args = {
    key: Args.string({ description: 'Name of a setting.', required: true }),
  }

  async run(): Promise<UnsetResult> {
    const { args } = await this.parse(ConfigUnset)
    const file = readSettings()
    // Also what another version of swiftd wrote there.
    const names = [...new Set([...SETTING_KEYS, ...Object.keys(file)])]
    const key = pickName(args.key, { what: 'setting', names })
    const removed = Object.hasOwn(file, key)
    if (removed) await writeSettings({ [key]: undefined })
    if (!this.jsonEnabled()) this.log(removed ? `${key} is not set any more` : `${key} was not set`)
    return { key, removed }
  }
}
