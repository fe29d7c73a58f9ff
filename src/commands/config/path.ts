import { settingsPath } from '../_shared/settings-file.js'
import { BaseCommand } from '../_shared/base-command.js'

export default class ConfigPath extends BaseCommand {
  static override summary = 'Print where the configuration file is, or would be.'

  static override examples = ['<%= config.bin %> config path']

  async run(): Promise<{ readonly path: string }> {
    await this.parse(ConfigPath)
    const path = settingsPath()
    if (!this.jsonEnabled()) this.log(path)
    return { path }
  }
}
