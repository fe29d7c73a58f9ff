import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isSwiftdError, SwiftdError } from '../../src/engine/errors.js'
import { PRECISIONS } from '../../src/engine/graph/target.js'
import { PROVIDER_NAMES } from '../../src/engine/ort/provider.js'
import { openGoldens, type Goldens } from './goldens.js'
import { kinds } from './kinds/index.js'
import { countResults, summary, tableHeader, tableRows, toJson } from './report.js'
import { runParity, selectCases, type CaseResult, type ParityOptions } from './run.js'

const USAGE =
  'Usage: npm run -s parity -- [--goldens DIR] [--only PATTERN] [--json] [--provider NAME] [--precision TYPE] [--tolerance FACTOR]'
const DEFAULT_GOLDENS = fileURLToPath(new URL('../../fixtures/goldens', import.meta.url))

/**
 * The parity command: runs a folder of goldens through the engine and prints what it measured.
 * @returns the exit code: 0 all passed, 1 a case failed, 2 the folder or a flag is unusable
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const flags = readFlags(args)
    if (flags.help) {
      console.log(USAGE)
      return 0
    }
    const goldens = openGoldens(flags.goldens ?? DEFAULT_GOLDENS)
    try {
      return await runAndReport(goldens, flags)
    } finally {
      goldens.close()
    }
  } catch (error) {
    if (!isSwiftdError(error)) throw error
    console.error(error.message)
    return 2
  }
}

interface Flags {
  goldens?: string
  only?: string
  json?: boolean
  provider?: string
  precision?: string
  tolerance?: string
  help?: boolean
}

function readFlags(args: readonly string[]): Flags {
  try {
    return parseArgs({
      args: [...args],
      options: {
        goldens: { type: 'string' },
        only: { type: 'string' },
        json: { type: 'boolean' },
        provider: { type: 'string' },
        precision: { type: 'string' },
        tolerance: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new SwiftdError('INVALID_REQUEST', `${reason}\n${USAGE}`, { cause: error })
  }
}

async function runAndReport(goldens: Goldens, flags: Flags): Promise<number> {
  const { only, json } = flags
  const names = selectCases(goldens, only)
  if (names.length === 0) {
    const what = only === undefined ? 'has no cases' : `has no case whose family/kind/id matches "${only}"`
    throw new SwiftdError('INVALID_REQUEST', `${goldens.dir} ${what}.`)
  }
  const results: CaseResult[] = []
  if (!json) print(tableHeader(names))
  for await (const result of runParity({ goldens, only, kinds, ...deviceOptions(flags) })) {
    results.push(result)
    if (!json) print(tableRows(result, names))
  }
  if (json) console.log(toJson(goldens.dir, results))
  else print(summary(results))
  return countResults(results).failed > 0 ? 1 : 0
}

/** @throws SwiftdError INVALID_REQUEST */
function deviceOptions({ provider, precision, tolerance }: Flags): Pick<ParityOptions, 'device' | 'toleranceFactor'> {
  const device = {
    provider: oneOf('provider', PROVIDER_NAMES, provider),
    precision: oneOf('precision', PRECISIONS, precision),
  }
  const toleranceFactor = Number(tolerance ?? 1)
  if (toleranceFactor > 0) return { device, toleranceFactor }
  throw new SwiftdError('INVALID_REQUEST', `--tolerance must be a number above 0, not "${tolerance}".`)
}

function oneOf<T extends string>(flag: string, values: readonly T[], given: string | undefined): T | undefined {
  const known = values.find((value) => value === given)
  if (known !== undefined || given === undefined) return known
  throw new SwiftdError('INVALID_REQUEST', `--${flag} must be one of ${values.join(', ')}, not "${given}".`)
}

function print(lines: readonly string[]): void {
  for (const line of lines) console.log(line)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2))
