import { Flags } from '@oclif/core'

interface ListFlagOptions<T> {
  readonly description: string
  readonly env: string
  readonly helpValue: string
  readonly helpGroup: string
  /** What separates the values in the environment. On the command line the flag is repeated. */
  readonly separator: string
  readonly parse: (text: string) => T
  /** As `settingFlag` gives them. */
  readonly default?: () => Promise<readonly string[] | undefined>
  readonly noCacheDefault?: boolean
}

/**
 * A flag that may be given several times. oclif gives one list for each time, and for the environment a single one:
 * `flatten` makes one list of either.
 */
export function listFlag<T>({ separator, parse, default: setting, ...options }: ListFlagOptions<T>) {
  return Flags.custom<T[]>({
    ...options,
    ...(setting && { default: async () => (await setting())?.map((each) => [parse(each)]) }),
    description: `${options.description} May be repeated; in ${options.env} "${separator}" separates several.`,
    multiple: true,
    multipleNonGreedy: true,
    async parse(text) {
      const fromEnvironment = text === process.env[options.env]
      // The errors of `parse` must be rejections.
      await Promise.resolve()
      return (fromEnvironment ? text.split(separator) : [text]).map((each) => parse(each.trim()))
    },
  })()
}

/** The values of a list flag; undefined if it was not given. */
export function flatten<T>(lists: readonly (T | readonly T[])[] | undefined): T[] | undefined {
  return lists?.flat() as T[] | undefined
}
