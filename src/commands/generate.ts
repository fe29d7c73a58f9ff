import { Args } from '@oclif/core'
import { createClient } from '../daemon/client/client.js'
import { daemonPaths } from '../daemon/paths.js'
import type { WireError } from '../daemon/protocol/error.js'
import type { Job } from '../daemon/protocol/job.js'
import { BaseCommand } from './_shared/base-command.js'
import { checkFlagsTogether, preferTyped } from './_shared/flag-conflicts.js'
import { GENERATE_FLAGS } from './_shared/generate-flags.js'
import type { GenerateSession } from './_shared/generate-job.js'
import type { GenerateResult } from './_shared/generate-result.js'
import type { LinesResult } from './_shared/generate-many.js'
import { generateOne } from './_shared/generate-one.js'
import { createOutput, writeJsonLine, type OutputMode } from './_shared/generate-output.js'
import type { GenerateFlags } from './_shared/generate-request.js'
import { listenForInterruption } from './_shared/interruption.js'
import { checkOutput } from './_shared/output-file.js'
import { isInteractiveTerminal } from './_shared/progress.js'

export type { GenerateResult } from './_shared/generate-result.js'

/** What was typed. */
interface Typed {
  readonly prompt: string | undefined
  readonly flags: GenerateFlags
}

export default class Generate extends BaseCommand {
  static override summary = 'Turn a prompt into an image.'

  static override description =
    'Starts the daemon where none runs, shows progress on stderr, and prints the path of the image on stdout.'

  static override examples = [
    '<%= config.bin %> generate "a large red star on a blue background" --seed 7 -o star.png',
    '<%= config.bin %> generate "a green circle" --model ./my-model --steps 30 --guidance-scale 6',
    '<%= config.bin %> generate "a yellow heart" -o - > heart.png',
    '<%= config.bin %> generate "a red star" -n 3 -o "out/{seed}.png"',
    '<%= config.bin %> generate "a green circle" --image star.png --strength 0.6',
    '<%= config.bin %> generate "a red star" --lora stripes:0.8 --control canny=edges.png:0.8:0-0.6',
    '<%= config.bin %> generate --from star.png --steps 40',
    '<%= config.bin %> generate --prompts-file prompts.txt -o "out/{line}.png"',
    '<%= config.bin %> generate "a red star" --detach',
  ]

  static override args = {
    prompt: Args.string({
      description: 'What to draw; - reads prompts from stdin, one a line. Not needed with --from.',
      // oclif would take all that is there within some milliseconds for one prompt.
      ignoreStdin: true,
    }),
  }

  static override flags = GENERATE_FLAGS

  /** A --jsonl that is typed goes before SWIFTD_JSON. */
  override jsonEnabled(): boolean {
    return super.jsonEnabled() && (this.isTyped('--json') || !this.isTyped('--jsonl'))
  }

  async run(): Promise<GenerateResult | Job | LinesResult> {
    const { prompt, flags } = await this.typed()
    const source = sourceOfLines(prompt, flags)
    const lines = source !== undefined
    const json = this.jsonEnabled()
    checkFlagsTogether(flags, { json, lines, prompt: prompt === '-' ? undefined : prompt })
    const target = checkOutput(flags.output)
    const mode = modeOf(flags, json)
    const paths = daemonPaths()
    const interruption = listenForInterruption({ timeoutSeconds: flags.timeout, several: lines })
    const live = !isSilent(flags) && isInteractiveTerminal()
    const output = createOutput({ mode, live })
    const client = createClient(paths.socket)
    const { signal } = interruption
    const session: GenerateSession = { client, paths, flags, target, output, signal, quiet: isSilent(flags) }
    try {
      if (!lines) return await generateOne(session, prompt)
      const { generateLines } = await import('./_shared/generate-many.js')
      return await generateLines(session, source)
    } finally {
      interruption.dispose()
      await client.close()
    }
  }

  protected override reportFailure(failure: WireError): void {
    const { SWIFTD_JSONL = '' } = process.env
    const jsonl = this.isTyped('--jsonl') || (['1', 'true'].includes(SWIFTD_JSONL) && !this.isTyped('--detach'))
    if (jsonl && !this.jsonEnabled()) writeJsonLine({ type: 'error', error: failure })
    else super.reportFailure(failure)
  }

  /** With --from, what the environment and the configuration say gives way to the image's own; what is typed does not. */
  private async typed(): Promise<Typed> {
    const { args, flags, raw } = await this.parse(Generate)
    const names = new Set(raw.map((token) => (token.type === 'flag' ? token.flag : token.arg)))
    if (flags.from === undefined) return { prompt: args.prompt, flags: preferTyped(flags, (name) => names.has(name)) }
    const kept = ['from', 'output', 'quiet', 'show', 'timeout', 'detach', 'jsonl']
    const chosen = Object.entries(flags).filter(([name]) => names.has(name) || kept.includes(name))
    return {
      prompt: names.has('prompt') ? args.prompt : undefined,
      flags: preferTyped(Object.fromEntries(chosen), (name) => names.has(name)),
    }
  }
}

/** The file of prompts, or `-` for stdin; undefined where there is one prompt or an image instead. */
function sourceOfLines(prompt: string | undefined, flags: GenerateFlags): string | undefined {
  if (flags['prompts-file'] !== undefined) return flags['prompts-file']
  if (prompt === '-') return '-'
  return prompt === undefined && flags.from === undefined && !process.stdin.isTTY ? '-' : undefined
}

function modeOf(flags: GenerateFlags, json: boolean): OutputMode {
  if (json) return 'json'
  if (flags.jsonl) return 'jsonl'
  return flags.output === '-' ? 'bytes' : 'text'
}

/** With --jsonl, events say what progress would. */
function isSilent(flags: GenerateFlags): boolean {
  return flags.quiet === true || flags.jsonl === true
}
