const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** A size for people, in powers of 1000 as disks and model sites count: `2.1 GB`. */
export function formatBytes(bytes: number): string {
  const { value, unit } = scaleByThousands(bytes, BYTE_UNITS)
  return `${value} ${unit}`
}

/** A number in the largest unit of which there is at least one. */
export function scaleByThousands(number: number, units: readonly string[]): { value: string; unit: string } {
  let value = number
  let index = 0
  while (value >= 999.95 && index < units.length - 1) {
    value /= 1000
    index++
  }
  return { value: index === 0 ? String(value) : value.toFixed(1), unit: units[index] }
}
