import { Args, Flags } from '@oclif/core'
import { SwiftdError } from '../engine/errors.js'
import { createClient, type DaemonClient } from '../daemon/client/client.js'
import { daemonPaths } from '../daemon/paths.js'
import { LIMITS } from '../daemon/protocol/limits.js'
import type { ImageInfo, Timings } from '../daemon/protocol/job.js'
import { BaseCommand } from './_shared/base-command.js'
import { numberFlag, SECONDS } from './_shared/flags.js'
import { followJob, submitJob } from './_shared/follow-job.js'
import { listenForInterruption } from './_shared/interruption.js'
import { modelReference } from './_shared/model-reference.js'
import { checkOutput, writeNewFile, writeOutput, type OutputTarget } from './_shared/output-file.js'
import { createProgress } from './_shared/progress.js'

/** What --json prints. */
export interface GenerateResult {
  readonly jobId: string
  readonly model: string
  readonly seed: number
  readonly images: readonly (Pick<ImageInfo, 'index' | 'width' | 'height' | 'seed'> & { readonly path: string })[]
  readonly timings: Timings
}

export default class Generate extends BaseCommand {
  static override summary = 'Turn a prompt into an image.'

  static override description =
    'Starts the daemon where none runs, shows progress on stderr, and prints the path of the image on stdout.'

  static override examples = [
    '<%= config.bin %> generate "a large red star on a blue background" --seed 7 -o star.png',
    '<%= config.bin %> generate "a green circle" --model ./my-model --steps 30 --guidance-scale 6',
    '<%= config.bin %> generate "a yellow heart" -o - > heart.png',
  ]

  static override args = {
    prompt: Args.string({ description: 'What to draw.', required: true }),
  }

  static override flags = {
    output: Flags.string({
      char: 'o',
      description: 'File to write, replaced if it exists; - is stdout. By default a new file swiftd-SEED.png.',
      env: 'SWIFTD_OUTPUT',
      helpValue: 'PATH',
    }),
    seed: numberFlag('seed', {
      description: 'The same seed draws the same image again. Random by default.',
      env: 'SWIFTD_SEED',
      range: LIMITS.seed,
    }),
    steps: numberFlag('steps', {
      description: 'Denoising steps. By default what suits the model.',
      env: 'SWIFTD_STEPS',
      range: LIMITS.numInferenceSteps,
    }),
    'guidance-scale': numberFlag('guidance-scale', {
      description: 'How strongly the image follows the prompt; 1 turns guidance off. By default what suits the model.',
      env: 'SWIFTD_GUIDANCE_SCALE',
      range: LIMITS.guidanceScale,
    }),
    'negative-prompt': Flags.string({
      description: 'What the image should not show.',
      env: 'SWIFTD_NEGATIVE_PROMPT',
      helpValue: 'TEXT',
    }),
    width: numberFlag('width', {
      description: 'Pixels, a multiple of 8. By default the size the model was made for.',
      env: 'SWIFTD_WIDTH',
      range: LIMITS.width,
    }),
    height: numberFlag('height', {
      description: 'Pixels, a multiple of 8. By default the size the model was made for.',
      env: 'SWIFTD_HEIGHT',
      range: LIMITS.height,
    }),
    scheduler: Flags.string({
      description: 'Sampler, such as "Euler" or "DPM++ 2M Karras". By default the model\'s own.',
      env: 'SWIFTD_SCHEDULER',
      helpValue: 'NAME',
    }),
    model: Flags.string({
      description:
        'Name of a model, or path of a diffusers folder (./name in the current directory) or .safetensors file.',
      env: 'SWIFTD_MODEL',
      default: 'demo',
      helpValue: 'NAME|PATH',
    }),
    timeout: numberFlag('timeout', {
      description: 'Cancel the job and exit with 124 if the image is not ready after this many seconds.',
      env: 'SWIFTD_TIMEOUT',
      range: SECONDS,
      helpValue: 'SECONDS',
    }),
    quiet: Flags.boolean({ char: 'q', description: 'Show no progress.', env: 'SWIFTD_QUIET' }),
  }

  async run(): Promise<GenerateResult> {
    const { args, flags } = await this.parse(Generate)
    if (flags.output === '-' && this.jsonEnabled()) {
      throw new SwiftdError('INVALID_REQUEST', '--json and "-o -" both write to stdout; give one of them.')
    }
    const target = checkOutput(flags.output)
    const paths = daemonPaths()
    const client = createClient(paths.socket)
    const progress = createProgress({ quiet: flags.quiet })
    const interruption = listenForInterruption(flags.timeout)
    try {
      const job = await submitJob(
        client,
        paths,
        {
          prompt: args.prompt,
          negativePrompt: flags['negative-prompt'],
          model: modelReference(flags.model),
          width: flags.width,
          height: flags.height,
          numInferenceSteps: flags.steps,
          guidanceScale: flags['guidance-scale'],
          seed: flags.seed,
          scheduler: flags.scheduler,
        },
        () => progress.note('Starting the daemon'),
      )
      const { images, timings } = await followJob(client, job.id, {
        onEvent: (event) => progress.event(event),
        signal: interruption.signal,
      })
      const saved = await saveImages(client, job.id, images, target)
      progress.close()
      if (target.kind !== 'stdout' && !this.jsonEnabled()) for (const { path } of saved) this.log(path)
      return { jobId: job.id, model: job.request.model, seed: job.request.seed, images: saved, timings }
    } finally {
      progress.close()
      interruption.dispose()
      await client.close()
    }
  }
}

async function saveImages(
  client: DaemonClient,
  jobId: string,
  images: readonly ImageInfo[],
  target: OutputTarget,
): Promise<GenerateResult['images']> {
  const saved = []
  for (const { index, width, height, seed } of images) {
    const path = await saveImage(await client.image(jobId, index), seed, target)
    saved.push({ index, width, height, seed, path })
  }
  return saved
}

async function saveImage(png: Buffer, seed: number, target: OutputTarget): Promise<string> {
  switch (target.kind) {
    case 'stdout':
      await new Promise<void>((done, fail) => process.stdout.write(png, (error) => (error ? fail(error) : done())))
      return '-'
    case 'file':
      await writeOutput(target.path, png)
      return target.path
    case 'new-file':
      return writeNewFile(target.directory, `swiftd-${seed}`, '.png', png)
  }
}
