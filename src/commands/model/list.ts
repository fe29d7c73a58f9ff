import { existsSync } from 'node:fs'
import { builtInModels } from '../../daemon/models/built-in.js'
import { digestModel } from '../../daemon/models/digest.js'
import { formatAge, formatBytes, formatTable } from '../../daemon/models/format.js'
import { inspectModel } from '../../daemon/models/inspect.js'
import { shortModelName } from '../../daemon/models/names.js'
import type { ModelRecord } from '../../daemon/models/record.js'
import { openModelStore, type DamagedRecord } from '../../daemon/models/store.js'
import { daemonPaths } from '../../daemon/paths.js'
import { BaseCommand } from '../_shared/base-command.js'

export interface ListedModel extends Pick<ModelRecord, 'path' | 'kind' | 'family' | 'bytes' | 'dtype' | 'digest'> {
  /** Without the tag `latest`. */
  readonly name: string
  /** The first 12 digits of the digest. */
  readonly id: string
  /** When it was registered; models that come with swiftd were not. */
  readonly added?: string
  /** Whether its folder or file is gone. */
  readonly missing: boolean
}

/** What --json prints. */
export interface ListResult {
  readonly models: readonly ListedModel[]
  readonly damaged: readonly DamagedRecord[]
}

export default class ModelList extends BaseCommand {
  static override summary = 'List the models that have a name.'

  static override aliases = ['model:ls']

  static override examples = ['<%= config.bin %> model list', '<%= config.bin %> model list --json']

  async run(): Promise<ListResult> {
    await this.parse(ModelList)
    const { records, damaged } = openModelStore().read()
    const models = [...(await listBuiltIn()), ...records.map(listRecord)]
    if (!this.jsonEnabled()) {
      this.log(formatTable([COLUMNS, ...models.map(row)]))
      for (const { name, reason } of damaged) {
        const remedy = `"swiftd model rm ${shortModelName(name)}" removes it`
        this.logToStderr(`Note: the record of ${shortModelName(name)} is damaged (${reason}); ${remedy}.`)
      }
    }
    return { models, damaged }
  }
}

const COLUMNS = ['NAME', 'ID', 'FAMILY', 'SIZE', 'DTYPE', 'MODIFIED']

function row({ name, id, family, bytes, dtype, added, missing }: ListedModel): string[] {
  const modified = added === undefined ? 'comes with swiftd' : formatAge(new Date(added))
  return [name, id, family, missing ? 'missing' : formatBytes(bytes), dtype, modified]
}

function listRecord({ name, path, kind, family, bytes, dtype, digest, added }: ModelRecord): ListedModel {
  const missing = !existsSync(path)
  return { name: shortModelName(name), id: idOf(digest), family, bytes, dtype, added, missing, path, kind, digest }
}

function listBuiltIn(): Promise<ListedModel[]> {
  const { cacheDirectory } = daemonPaths()
  return Promise.all(
    builtInModels().map(async ({ name, path }) => {
      const description = inspectModel(path)
      const { kind, family, bytes, dtype } = description
      const digest = await digestModel(description, cacheDirectory)
      return { name, id: idOf(digest), family, bytes, dtype, missing: false, path, kind, digest }
    }),
  )
}

function idOf(digest: string): string {
  return digest.slice(0, 12)
}
