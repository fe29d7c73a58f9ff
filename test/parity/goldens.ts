import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { SwiftdError } from '../../src/engine/errors.js'
import {
  float32Values,
  openSafetensors,
  type SafetensorsFile,
  type StoredTensor,
} from '../../src/engine/weights/safetensors.js'
import type { Tensor } from './measure.js'

const indexSchema = z.looseObject({
  families: z.record(z.string(), z.looseObject({ index: z.string() })),
  total_cases: z.number().int().nonnegative(),
})

const roleSchema = z.record(z.string(), z.union([z.string(), z.array(z.string())]))

const caseSchema = z.looseObject({
  id: z.string(),
  kind: z.string(),
  file: z.string().optional(),
  inputs: roleSchema.default({}),
  outputs: roleSchema.default({}),
  tolerance: z.unknown(),
})

const familySchema = z.looseObject({ cases: z.array(caseSchema) })

/** One case as cases.json has it. Its other parameters are still on it; a kind reads them through its own schema. */
export type GoldenCase = z.infer<typeof caseSchema>

export interface GoldenFamily {
  /** The folder's name, such as `sd15`. */
  readonly name: string
  /** The folder that the paths of its cases are relative to. */
  readonly dir: string
  /** What cases.json says besides its cases. */
  readonly about: Readonly<Record<string, unknown>>
  readonly cases: readonly GoldenCase[]
}

export interface Goldens {
  readonly dir: string
  readonly families: readonly GoldenFamily[]
  /** The number of cases that index.json promises. */
  readonly totalCases: number
  /** A tensor of a case's file. Its values are valid until `close`. */
  tensor(family: GoldenFamily, file: string, name: string): Tensor
  close(): void
}

/**
 * Opens a folder of goldens. Every index is read and every tensor file that a case names must exist; tensors are mapped
 * when they are asked for, each file once.
 * @throws SwiftdError INVALID_REQUEST if the folder is not what the format's README describes
 */
export function openGoldens(dir: string): Goldens {
  const index = readJson(join(dir, 'index.json'), indexSchema)
  const families = Object.entries(index.families).map(([name, entry]) => readFamily(name, join(dir, entry.index)))
  const files = new Map<string, SafetensorsFile>()
  return {
    dir,
    families,
    totalCases: index.total_cases,
    tensor(family, file, name) {
      const path = join(family.dir, file)
      const opened = files.get(path) ?? openSafetensors(path)
      files.set(path, opened)
      const stored = opened.tensors.get(name)
      if (!stored) throw new SwiftdError('INVALID_REQUEST', `${path} has no tensor "${name}"; the goldens are damaged.`)
      return readTensor(opened, stored)
    },
    close() {
      for (const file of files.values()) file.close()
      files.clear()
    },
  }
}

function readFamily(name: string, path: string): GoldenFamily {
  const { cases, ...about } = readJson(path, familySchema)
  const dir = dirname(path)
  for (const file of new Set(cases.flatMap((entry) => entry.file ?? []))) {
    if (!existsSync(join(dir, file))) {
      throw new SwiftdError('INVALID_REQUEST', `${path} names the file ${file}, but ${join(dir, file)} does not exist.`)
    }
  }
  return { name, dir, about, cases }
}

function readJson<T>(path: string, schema: z.ZodType<T>): T {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new SwiftdError('INVALID_REQUEST', `Cannot read goldens from ${path}: ${reason}.`, { cause: error })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  throw new SwiftdError('INVALID_REQUEST', `${path} is not a goldens index: ${z.prettifyError(parsed.error)}`)
}

function readTensor(file: SafetensorsFile, stored: StoredTensor): Tensor {
  const { shape, dtype } = stored
  if (dtype === 'F32') return { shape, data: float32Values(file, stored) }
  if (dtype === 'U8') return { shape, data: file.bytesOf(stored) }
  if (dtype === 'I64') {
    const integers = new BigInt64Array(file.bytesOf(stored).slice().buffer)
    return { shape, data: Float64Array.from(integers, Number) }
  }
  throw new SwiftdError(
    'INVALID_REQUEST',
    `${file.path}: tensor "${stored.name}" is ${dtype}; goldens use F32, U8, I64.`,
  )
}
