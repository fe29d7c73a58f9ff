/** The value at `index`, which the caller knows to exist; a RangeError where it does not. */
export function at(values: ArrayLike<number>, index: number): number {
  const value = values[index]
  if (value === undefined) throw new RangeError(`Index ${index} is outside of ${values.length} values.`)
  return value
}
