/** Runs tasks one after the other, in the order in which they were given; a failing task does not stop the next. */
export type Exclusive = <T>(task: () => Promise<T>) => Promise<T>

export function createExclusive(): Exclusive {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(task: () => Promise<T>) => {
    const result = last.then(task, task)
    last = result.catch(() => undefined)
    return result
  }
}
