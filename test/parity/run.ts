import { createContext, createResources, type ParityContext, type ParityDevice, type ParityKind } from './context.js'
import type { GoldenCase, GoldenFamily, Goldens } from './goldens.js'
import type { Measurement } from './measure.js'

export interface CaseResult {
  /** `family/kind/id` */
  readonly name: string
  readonly family: string
  readonly kind: string
  readonly id: string
  readonly status: 'passed' | 'failed' | 'skipped'
  readonly measurements: readonly Measurement[]
  /** Why it was skipped, or the error that stopped it. */
  readonly reason?: string
}

export interface ParityOptions {
  readonly goldens: Goldens
  /** Only cases whose `family/kind/id` contains this text, where `*` stands for anything; or those of these names. */
  readonly only?: string | readonly string[]
  readonly kinds: Readonly<Record<string, ParityKind>>
  /** @default the CPU in float32, which the goldens' tolerances are for */
  readonly device?: ParityDevice
  /** How many times a golden's tolerance an error may be; what must be exact stays so. @default 1 */
  readonly toleranceFactor?: number
}

/** The names (`family/kind/id`) of the cases that `runParity` will run, in its order. */
export function selectCases(goldens: Goldens, only?: string): string[] {
  return goldens.families.flatMap((family) => selectedOf(family, only).map((golden) => caseName(family, golden)))
}

/** Runs the cases one after the other. A case of a kind that `kinds` lacks is skipped; one that throws has failed. */
export async function* runParity(options: ParityOptions): AsyncGenerator<CaseResult> {
  const { goldens, only, device = {} } = options
  for (const family of goldens.families) {
    const resources = createResources()
    try {
      for (const golden of selectedOf(family, only)) {
        yield await runCase(createContext(goldens, family, golden, resources, device), options)
      }
    } finally {
      await resources.disposeAll()
    }
  }
}

async function runCase(context: ParityContext, { kinds, toleranceFactor = 1 }: ParityOptions): Promise<CaseResult> {
  const { family, case: golden } = context
  const { id, kind } = golden
  const about = { name: caseName(family, golden), family: family.name, kind, id }
  if (!Object.hasOwn(kinds, kind)) {
    return { ...about, status: 'skipped', measurements: [], reason: `the kind "${kind}" is not yet supported` }
  }
  try {
    const result = await kinds[kind](context)
    if ('skipped' in result) return { ...about, status: 'skipped', measurements: [], reason: result.skipped }
    const measurements = result.measurements.map((each) => loosen(each, toleranceFactor))
    // Nothing measured proves nothing.
    if (measurements.length === 0) return { ...about, status: 'failed', measurements, reason: 'nothing was measured' }
    return { ...about, status: measurements.every((one) => one.passed) ? 'passed' : 'failed', measurements }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { ...about, status: 'failed', measurements: [], reason }
  }
}

function loosen(measurement: Measurement, factor: number): Measurement {
  const limit = measurement.limit * factor
  return { ...measurement, limit, passed: measurement.passed || measurement.error <= limit }
}

function selectedOf(family: GoldenFamily, only: ParityOptions['only']): GoldenCase[] {
  if (only === undefined) return [...family.cases]
  const matches = typeof only === 'string' ? matcher(only) : (name: string) => only.includes(name)
  return family.cases.filter((golden) => matches(caseName(family, golden)))
}

function caseName(family: GoldenFamily, golden: GoldenCase): string {
  return `${family.name}/${golden.kind}/${golden.id}`
}

function matcher(pattern: string): (name: string) => boolean {
  const escaped = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  const expression = new RegExp(escaped.join('.*'))
  return (name) => expression.test(name)
}
