import { Args } from '@oclif/core'
import { SwiftdError } from '../engine/errors.js'
import { createClient, type DaemonClient } from '../daemon/client/client.js'
import { daemonPaths, type DaemonPaths } from '../daemon/paths.js'
import type { ImageInfo, Timings } from '../daemon/protocol/job.js'
import { BaseCommand } from './_shared/base-command.js'
import { checkFlagsTogether, preferTyped } from './_shared/flag-conflicts.js'
import { followJob, submitJob, withDaemon } from './_shared/follow-job.js'
import { GENERATE_FLAGS } from './_shared/generate-flags.js'
import { requestOf, type GenerateFlags } from './_shared/generate-request.js'
import { listenForInterruption } from './_shared/interruption.js'
import { checkOutput } from './_shared/output-file.js'
import { readPictureFile } from './_shared/picture-file.js'
import { createProgress, type Progress } from './_shared/progress.js'
import { remake, type Remake } from './_shared/remake.js'
import { saveImages, type SavedImage } from './_shared/save-images.js'

/** What --json prints. */
export interface GenerateResult {
  readonly jobId: string
  readonly model: string
  readonly seed: number
  readonly images: readonly SavedImage[]
  readonly timings: Timings
}

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
  ]

  static override args = {
    prompt: Args.string({ description: 'What to draw. Not needed with --from.' }),
  }

  static override flags = GENERATE_FLAGS

  async run(): Promise<GenerateResult> {
    const typed = await this.typed()
    const { flags } = typed
    checkFlagsTogether(flags, this.jsonEnabled())
    const target = checkOutput(flags.output)
    const paths = daemonPaths()
    const client = createClient(paths.socket)
    const progress = createProgress({ quiet: flags.quiet === true })
    const interruption = listenForInterruption(flags.timeout)
    const onStart = (): void => progress.note('Starting the daemon')
    try {
      const { request, index } = await this.request(typed, client, paths, progress)
      const job = await submitJob(client, paths, { ...request, previews: progress.previews }, onStart)
      const { images, timings } = await followJob(client, job.id, {
        onEvent: (event) => progress.event(event),
        signal: interruption.signal,
      })
      const wanted = images.filter((image) => index === undefined || image.index === index)
      const saved = await saveImages(client, job.id, wanted, target)
      progress.close()
      if (flags.show) await showSaved(client, job.id, saved)
      if (target.kind !== 'stdout' && !this.jsonEnabled()) for (const { path } of saved) this.log(path)
      return { jobId: job.id, model: job.request.model, seed: seedOf(wanted, job.request.seed), images: saved, timings }
    } finally {
      progress.close()
      interruption.dispose()
      await client.close()
    }
  }

  /** With --from, what the environment and the configuration say gives way to the image's own; what is typed does not. */
  private async typed(): Promise<Typed> {
    const { args, flags, raw } = await this.parse(Generate)
    const names = new Set(raw.map((token) => (token.type === 'flag' ? token.flag : token.arg)))
    if (flags.from === undefined) return { prompt: args.prompt, flags: preferTyped(flags, (name) => names.has(name)) }
    const kept = ['from', 'output', 'quiet', 'show', 'timeout']
    const chosen = Object.entries(flags).filter(([name]) => names.has(name) || kept.includes(name))
    return { prompt: names.has('prompt') ? args.prompt : undefined, flags: Object.fromEntries(chosen) }
  }

  private async request(
    { prompt, flags }: Typed,
    client: DaemonClient,
    paths: DaemonPaths,
    progress: Progress,
  ): Promise<Remake> {
    const { from } = flags
    if (from === undefined) {
      if (prompt !== undefined) return { request: await requestOf(prompt, flags), index: undefined }
      throw new SwiftdError('INVALID_REQUEST', 'There is no prompt; give it in quotes, or an image by --from.')
    }
    const { data } = await readPictureFile('--from', from)
    const recipe = await withDaemon(
      paths,
      () => progress.note('Starting the daemon'),
      () => client.recipe(data),
    )
    for (const note of recipe.notes) progress.note(`Note: ${note}`)
    return remake(recipe, prompt, flags)
  }
}

/** Only where somebody sees it: on stderr, since stdout is for results. */
async function showSaved(client: DaemonClient, jobId: string, images: readonly SavedImage[]): Promise<void> {
  if (!process.stderr.isTTY) return
  const { showImage } = await import('./_ui/show-image.js')
  for (const { index } of images) await showImage(await client.image(jobId, index), { stream: process.stderr })
}

function seedOf(images: readonly ImageInfo[], otherwise: number): number {
  return images[0]?.seed ?? otherwise
}
