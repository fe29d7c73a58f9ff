import { describe, expect, it } from 'vitest'
import { formatAge, formatBytes, formatCount, formatTable } from './format.js'

describe('formats for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1.0 kB'],
    [999_960, '1.0 MB'],
    [2_132_625_894, '2.1 GB'],
  ])('write %i bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
  })

  it('write parameters as the field does', () => {
    expect([950, 859_520_964, 2_567_463_684].map(formatCount)).toEqual(['950', '859.5M', '2.6B'])
  })

  it.each([
    [2, 'just now'],
    [59, '59 seconds ago'],
    [60, '1 minute ago'],
    [7_300, '2 hours ago'],
    [90_000, '1 day ago'],
    [700_000, '1 week ago'],
    [40_000_000, '1 year ago'],
    [-5, 'just now'],
  ])('write an age of %i seconds as %s', (seconds, text) => {
    const now = new Date('2026-01-01T00:00:00Z')
    expect(formatAge(new Date(now.getTime() - seconds * 1000), now)).toBe(text)
  })

  it('align the columns of a table', () => {
    expect(
      formatTable([
        ['NAME', 'ID'],
        ['a', '1'],
        ['longer', '22'],
      ]),
    ).toBe('NAME     ID\na        1\nlonger   22')
  })
})
