/**
 * Runs tasks in turn, round by round, so that a drift of the machine's speed meets all of them.
 * @returns the results of each task, one for each round
 */
export async function measureInTurn<Name extends string, T>(
  rounds: number,
  tasks: Readonly<Record<Name, () => Promise<T>>>,
): Promise<Record<Name, T[]>> {
  const entries = Object.entries(tasks) as [Name, () => Promise<T>][]
  const results = Object.fromEntries(entries.map(([name]) => [name, [] as T[]])) as Record<Name, T[]>
  for (let round = 0; round < rounds; round++) {
    for (const [name, task] of entries) results[name].push(await task())
  }
  return results
}
