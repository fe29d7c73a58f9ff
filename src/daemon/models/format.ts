import { scaleByThousands } from '../../engine/format-bytes.js'

export { formatBytes } from '../../engine/format-bytes.js'

const COUNT_UNITS = ['', 'K', 'M', 'B']

/** A number of parameters as the field writes it: `859.5M`. */
export function formatCount(count: number): string {
  const { value, unit } = scaleByThousands(count, COUNT_UNITS)
  return `${value}${unit}`
}

const STEPS = [
  { seconds: 60, name: 'second' },
  { seconds: 3_600, name: 'minute', each: 60 },
  { seconds: 86_400, name: 'hour', each: 3_600 },
  { seconds: 604_800, name: 'day', each: 86_400 },
  { seconds: 2_629_800, name: 'week', each: 604_800 },
  { seconds: 31_557_600, name: 'month', each: 2_629_800 },
  { seconds: Infinity, name: 'year', each: 31_557_600 },
]

/** How long ago a date was: `3 hours ago`. */
export function formatAge(date: Date, now: Date = new Date()): string {
  const age = Math.max(0, (now.getTime() - date.getTime()) / 1000)
  const { name, each = 1 } = STEPS.find(({ seconds }) => age < seconds) ?? STEPS[STEPS.length - 1]
  const count = Math.floor(age / each)
  return name === 'second' && count < 5 ? 'just now' : `${count} ${name}${count === 1 ? '' : 's'} ago`
}

/** Lines of columns that are as wide as their widest cell. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}
