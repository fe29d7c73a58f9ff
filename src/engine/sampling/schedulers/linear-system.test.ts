import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { solveLinear } from './linear-system.js'

describe('solveLinear', () => {
  it('needs a pivot from another row where the first is zero', () => {
    expect(
      solveLinear(
        [
          [0, 2],
          [3, 1],
        ],
        [4, 5],
      ),
    ).toEqual([1, 2])
  })

  it('has no unknowns for no rows', () => {
    expect(solveLinear([], [])).toEqual([])
  })

  it('finds what gives the right-hand side', () => {
    const entry = fc.integer({ min: -9, max: 9 })
    const unknowns = fc.array(entry, { minLength: 3, maxLength: 3 })
    fc.assert(
      fc.property(fc.array(unknowns, { minLength: 3, maxLength: 3 }), unknowns, (matrix, solution) => {
        // Kept away from singular matrices.
        matrix.forEach((row, i) => (row[i] += 40))
        const right = matrix.map((row) => row.reduce((sum, value, i) => sum + value * solution[i], 0))
        solveLinear(matrix, right).forEach((value, i) => expect(value).toBeCloseTo(solution[i], 9))
      }),
    )
  })
})
