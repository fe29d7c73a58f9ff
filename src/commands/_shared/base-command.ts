import { Command, Flags } from '@oclif/core'
import { isSwiftdError, SwiftdError } from '../../engine/errors.js'
import { ERRORS, toWireError, type WireError } from '../../daemon/protocol/error.js'

/**
 * What all commands share: results go to stdout, everything else to stderr; an error is one sentence, with its own exit
 * code, which is the same with --json.
 */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    json: Flags.boolean({
      description: 'Print the result, or the error, as one JSON document.',
      env: 'SWIFTD_JSON',
      helpGroup: 'GLOBAL',
    }),
  }

  /** Looks at the arguments themselves: an argument that cannot be parsed must be reported as JSON, too. */
  override jsonEnabled(): boolean {
    return this.isTyped('--json') || ['1', 'true'].includes(process.env.SWIFTD_JSON ?? '')
  }

  /** Whether a flag is among the arguments. */
  protected isTyped(flag: string): boolean {
    const end = this.argv.indexOf('--')
    return (end < 0 ? this.argv : this.argv.slice(0, end)).includes(flag)
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json, undefined, 2)}\n`)
  }

  /** Never rethrows: oclif would print what it makes of the error, and exit with 1 where --json is given. */
  override catch(error: Error): Promise<void> {
    // What parsing throws has no result to lose.
    this.parsed = true
    const failure = describe(error)
    process.exitCode = ERRORS[failure.code].exitCode
    this.reportFailure(failure)
    if (process.env.SWIFTD_DEBUG === '1') process.stderr.write(`${error.stack}\n`)
    return Promise.resolve()
  }

  protected reportFailure(failure: WireError): void {
    if (this.jsonEnabled()) this.logJson({ error: failure })
    else process.stderr.write(`Error: ${failure.message}\n`)
  }
}

/** Mistakes in the arguments are told by oclif's parser, as errors with exit code 2 or with its words around ours. */
function describe(error: Error): WireError {
  const message = withoutParserWords(error.message)
  if (isSwiftdError(error)) return toWireError(new SwiftdError(error.code, message))
  if (isUsageError(error)) return toWireError(new SwiftdError('INVALID_REQUEST', `${message} (see --help)`))
  return toWireError(error)
}

function isUsageError(error: Error): boolean {
  return 'oclif' in error && (error.oclif as { exit?: number } | undefined)?.exit === 2
}

function withoutParserWords(message: string): string {
  return message
    .replace(/^Parsing --\S+\s+/, '')
    .replace(/\nSee more help with --help$/, '')
    .replaceAll(/\s*\n\s*/g, ' ')
}
