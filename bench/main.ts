import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  describeMachine,
  formatDocuments,
  isGoalMet,
  type Figure,
  type ScenarioDocument,
  type ScenarioNotes,
} from './harness.js'
import { OPTION_FLAGS, readOptions } from './options.js'
import { scenarios } from './scenarios/index.js'

const USAGE =
  'Usage: npm run -s bench -- SCENARIO... [--json] [--cache DIR] [OPTIONS] | --list; bench/README.md names the options'

/** Runs scenarios and prints each figure beside its goal; with --json one document for each scenario in a list. */
async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      cache: { type: 'string' },
      ...OPTION_FLAGS,
    },
  })
  if (values.list) {
    for (const [name, { about }] of Object.entries(scenarios)) console.log(`${name.padEnd(16)} ${about}`)
    return 0
  }
  const unknown = positionals.filter((name) => !Object.hasOwn(scenarios, name))
  if (positionals.length === 0 || unknown.length > 0) {
    const reason = unknown.length > 0 ? `There is no scenario "${unknown[0]}"` : 'Name a scenario'
    console.error(`${reason}; --list names them.\n${USAGE}`)
    return 2
  }
  const cacheDirectory =
    values.cache ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'swiftd', 'bench')
  const options = readOptions(values)
  const machine = describeMachine()
  const documents: ScenarioDocument[] = []
  for (const name of positionals) {
    const say = (sentence: string): void => console.error(`[${name}] ${sentence}`)
    let notes: ScenarioNotes = {}
    const note = (more: ScenarioNotes): void => void (notes = { ...notes, ...more })
    const figures = await scenarios[name].run({ cacheDirectory, say, note, options })
    const document = { scenario: name, machine, ...notes, figures }
    documents.push(document)
    if (!values.json) printDocument(document)
  }
  if (values.json) console.log(formatDocuments(documents))
  return documents.some(({ failures = [] }) => failures.length > 0) ? 1 : 0
}

function printDocument({ scenario, device, figures, failures = [] }: ScenarioDocument): void {
  console.log(`\n${scenario}`)
  const facts = Object.entries(device ?? {}).map(([what, value]) => `${what} ${value}`)
  if (facts.length > 0) console.log(`  ${facts.join(', ')}`)
  printFigures(figures)
  failures.forEach((failure) => console.log(`  not measured: ${failure}`))
}

function printFigures(figures: Readonly<Record<string, Figure>>): void {
  const width = Math.max(48, ...Object.keys(figures).map((label) => label.length))
  for (const [label, each] of Object.entries(figures)) {
    const { value, unit, samples } = each
    const spread = `${samples.length} samples, ${format(Math.min(...samples))} to ${format(Math.max(...samples))}`
    console.log(
      `  ${label.padEnd(width)} ${format(value).padStart(10)} ${unit.padEnd(6)} ${judge(each).padEnd(24)} (${spread})`,
    )
  }
}

function judge(each: Figure): string {
  if (each.goal === undefined) return ''
  return `goal ${each.goal} ${isGoalMet(each) ? 'met' : 'missed'}`
}

function format(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
