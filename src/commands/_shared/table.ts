/** How wide a table may be: the terminal that shows it, or without bounds where a program reads it. */
export function tableWidth(stream: NodeJS.WriteStream = process.stdout): number {
  return stream.isTTY ? stream.columns || 80 : Infinity
}

const GAP = 3
const NARROWEST = 6

/**
 * Lines of columns that are as wide as their widest cell, the first row being their titles. Where that is wider than
 * `width`, each row becomes a block of lines of its own, "TITLE value", so that nothing is cut off or wrapped in the
 * middle of a column; blocks too narrow for that are cut.
 */
export function formatColumns(rows: readonly (readonly string[])[], width: number = tableWidth()): string {
  const [titles, ...entries] = rows
  const widths = titles.map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const total = widths.reduce((sum, each) => sum + each + GAP, -GAP)
  if (total <= width) return rows.map((row) => line(row, widths)).join('\n')
  const titleWidth = Math.max(...titles.map((title) => title.length))
  const block = (row: readonly string[]): string =>
    titles
      .map((title, column) => ({ title, cell: row[column] }))
      .filter(({ cell }) => cell !== '')
      .map(({ title, cell }) => `${title.padEnd(titleWidth)} ${shorten(cell, width - titleWidth - 1)}`)
      .join('\n')
  return entries.map(block).join('\n\n')
}

function line(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, column) => cell.padEnd(widths[column]))
  return cells.join(' '.repeat(GAP)).trimEnd()
}

function shorten(text: string, width: number): string {
  const room = Math.max(width, NARROWEST)
  return text.length > room ? `${text.slice(0, room - 1)}…` : text
}
