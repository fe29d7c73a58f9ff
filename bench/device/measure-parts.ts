import { figure, type Figure } from '../harness.js'
import { runPart } from './run-part.js'
import type { PartName, PartSettings } from './settings.js'

/** What came of several parts. */
export interface MeasuredParts {
  /** By names that begin with the model's. */
  readonly figures: Readonly<Record<string, Figure>>
  /** Of what could not be measured, a sentence each. */
  readonly failures: readonly string[]
}

/**
 * Measures parts one after the other. One that fails is told of and left out, since on a device that nobody has tried the
 * others' figures are worth having all the same.
 * @param environment what the processes have besides this one's, as `pinnedEnvironment` makes it
 */
export async function measureParts(
  names: readonly PartName[],
  settings: PartSettings,
  environment: Readonly<Record<string, string>>,
  say: (sentence: string) => void,
): Promise<MeasuredParts> {
  const { label, size } = settings.model
  const figures: Record<string, Figure> = {}
  const failures: string[] = []
  const cold: number[] = []
  for (const part of names) {
    say(`${label} at ${size}x${size}: ${part}`)
    try {
      const { coldMs, figures: measured } = await runPart(part, settings, environment)
      for (const [name, each] of Object.entries(measured)) figures[`${label}: ${name}`] = each
      if (coldMs !== undefined) cold.push(coldMs)
    } catch (error) {
      const failure = `${label}, ${part}: ${error instanceof Error ? error.message : String(error)}`
      say(failure)
      failures.push(failure)
    }
  }
  if (cold.length > 0) figures[`${label}: until the model is ready, in a new process`] = figure(cold, 'ms')
  return { figures, failures }
}
