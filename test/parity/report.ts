import type { Measurement } from './measure.js'
import type { CaseResult } from './run.js'

const HEADINGS = ['quantity', 'measure', 'tolerance', 'error', 'result'] as const
const WIDTHS = [22, 21, 10, 10, 6] as const

/** The table's first two lines; `names` are the cases to come, for the width of their column. */
export function tableHeader(names: readonly string[]): string[] {
  const width = nameWidth(names)
  const header = row('case', width, HEADINGS)
  return [header, '-'.repeat(header.length)]
}

/** The table's lines for one case: one per measurement, one for an error, none for a skipped case. */
export function tableRows(result: CaseResult, names: readonly string[]): string[] {
  if (result.status === 'skipped') return []
  const width = nameWidth(names)
  const rows = result.measurements.map((one) => row(result.name, width, cells(one)) + (one.note ? `  ${one.note}` : ''))
  if (result.reason !== undefined) rows.push(`${row(result.name, width, ['', '', '', '', 'FAIL'])}  ${result.reason}`)
  return rows
}

/** What follows the table: the skipped cases by reason, and the counts. */
export function summary(results: readonly CaseResult[]): string[] {
  const lines: string[] = []
  const skipped = results.filter((result) => result.status === 'skipped')
  if (skipped.length > 0) lines.push('', 'Skipped:')
  for (const reason of new Set(skipped.map((result) => result.reason ?? ''))) {
    const group = skipped.filter((result) => (result.reason ?? '') === reason)
    lines.push(`  ${reason} (${group.length})`, ...group.map((result) => `    ${result.name}`))
  }
  const { passed, failed } = countResults(results)
  const total = `${results.length} cases`
  return [...lines, '', `${total}: ${passed} passed, ${failed} failed, ${skipped.length} skipped.`]
}

export function countResults(results: readonly CaseResult[]): Record<CaseResult['status'], number> {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const result of results) counts[result.status]++
  return counts
}

/** The whole run as one JSON document. An infinite error is written as the text "Infinity". */
export function toJson(dir: string, results: readonly CaseResult[]): string {
  const replacer = (_key: string, value: unknown) => (value === Infinity ? 'Infinity' : value)
  const document = { goldens: dir, total: results.length, ...countResults(results), cases: results }
  return JSON.stringify(document, replacer, 2)
}

function cells(one: Measurement): string[] {
  return [one.quantity, one.measure, number(one.limit), number(one.error), one.passed ? 'pass' : 'FAIL']
}

function row(name: string, width: number, columns: readonly string[]): string {
  return [name.padEnd(width), ...columns.map((text, i) => text.padEnd(WIDTHS[i] ?? 0))].join('  ').trimEnd()
}

function number(value: number): string {
  return value === 0 || !Number.isFinite(value) ? String(value) : value.toExponential(1)
}

function nameWidth(names: readonly string[]): number {
  return names.reduce((width, name) => Math.max(width, name.length), 'case'.length)
}
