import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import writeFileAtomic from 'write-file-atomic'
import { SwiftdError } from '../../engine/errors.js'
import type { z } from 'zod'
import { ModelRecordSchema, type ModelRecord, type NamedRecord } from './record.js'

/** A record that cannot be read. */
export interface DamagedRecord {
  /** The full name, which the file's name tells. */
  readonly name: string
  readonly reason: string
}

export interface StoreContents<Item extends NamedRecord> {
  /** In order of their names. */
  readonly records: readonly Item[]
  readonly damaged: readonly DamagedRecord[]
}

/**
 * What one user registered of one kind, such as models. Each call looks at the disk: the daemon and commands use the store
 * at the same time.
 */
export interface Store<Item extends NamedRecord> {
  readonly directory: string
  read(): StoreContents<Item>
  /**
   * Writes a record, and replaces the one of that name.
   * @throws SwiftdError OUTPUT_NOT_WRITABLE
   */
  put(record: Item): void
  /** Removes the record of a full name; false if there is none. Damaged ones are removed, too. */
  remove(name: string): boolean
}

/** The registered models. */
export type ModelStore = Store<ModelRecord>

/** `$XDG_DATA_HOME/swiftd/FOLDER`, where the records of one kind are kept; pulled models lie beside theirs. */
export function dataDirectory(folder: string, environment: NodeJS.ProcessEnv = process.env): string {
  const data = environment.XDG_DATA_HOME || join(environment.HOME || homedir(), '.local/share')
  return join(data, 'swiftd', folder)
}

/** The store of models. */
export function openModelStore(directory: string = dataDirectory('models')): ModelStore {
  return openStore(directory, ModelRecordSchema)
}

const ENDING = '.json'

/** Opens the store in a directory, which is made when the first record is put there. */
export function openStore<Item extends NamedRecord>(directory: string, schema: z.ZodType<Item>): Store<Item> {
  // Not every file system takes a colon; "@" is in no name.
  const fileOf = (name: string): string => join(directory, name.replace(':', '@') + ENDING)
  const nameOf = (file: string): string => file.slice(0, -ENDING.length).replace('@', ':')
  return {
    directory,
    read() {
      const records: Item[] = []
      const damaged: DamagedRecord[] = []
      const files = existsSync(directory) ? readdirSync(directory) : []
      for (const file of files.filter((each) => each.endsWith(ENDING)).sort()) {
        const result = readRecord(join(directory, file), nameOf(file), schema)
        if (typeof result === 'string') damaged.push({ name: nameOf(file), reason: result })
        else if (result) records.push(result)
      }
      return { records, damaged }
    },
    put(record) {
      const file = fileOf(record.name)
      try {
        mkdirSync(directory, { recursive: true })
        writeFileAtomic.sync(file, `${JSON.stringify(record, undefined, 2)}\n`)
      } catch (error) {
        throw new SwiftdError('OUTPUT_NOT_WRITABLE', `Cannot write ${file}: ${messageOf(error)}.`, { cause: error })
      }
    },
    remove(name) {
      const file = fileOf(name)
      if (!existsSync(file)) return false
      rmSync(file, { force: true })
      return true
    },
  }
}

/** @returns the record, what is wrong with it, or undefined if another process removed it meanwhile */
function readRecord<Item extends NamedRecord>(
  path: string,
  name: string,
  schema: z.ZodType<Item>,
): Item | string | undefined {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    return error instanceof SyntaxError ? 'it is not JSON' : messageOf(error)
  }
  const result = schema.safeParse(json)
  if (!result.success) return `${result.error.issues[0].path.join('.') || 'the file'} is missing or wrong`
  return result.data.name === name ? result.data : `it says that its name is ${result.data.name}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
