import { at } from '../at.js'

/**
 * Solves `matrix · x = right` by Gaussian elimination with pivoting, for the few unknowns of a solver's order.
 * @param matrix square, by rows; no rows give no unknowns
 */
export function solveLinear(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, at(right, i)])
  const size = rows.length
  for (let column = 0; column < size; column++) {
    const candidates = rows.slice(column)
    const pivot = candidates.reduce((best, row) =>
      Math.abs(at(row, column)) > Math.abs(at(best, column)) ? row : best,
    )
    const rest = candidates.filter((row) => row !== pivot)
    const reduced = rest.map((row) => {
      const factor = at(row, column) / at(pivot, column)
      return row.map((value, i) => value - factor * at(pivot, i))
    })
    rows.splice(column, size - column, pivot, ...reduced)
  }
  const solution = new Array<number>(size).fill(0)
  for (let i = size - 1; i >= 0; i--) {
    const row = rows[i] ?? []
    let sum = at(row, size)
    for (let k = i + 1; k < size; k++) sum -= at(row, k) * at(solution, k)
    solution[i] = sum / at(row, i)
  }
  return solution
}
