import { join } from 'node:path'
import type { Sandbox } from '../../test/support/sandbox.js'
import { DEMO, runOrThrow, withSandbox } from '../demo.js'
import { elapsedMs, figure, measurePairs, type Figure, type Scenario } from '../harness.js'

const ROUNDS = 15
const COLD_ROUNDS = 5

/** One warm command, and where its time went. */
interface Command {
  readonly wallMs: number
  /** From the start of the process until the daemon has the job. */
  readonly untilSubmittedMs: number
  /** From there until the image is ready. */
  readonly jobMs: number
  /** The runtime's share of that. */
  readonly runtimeMs: number
  /** Fetching and writing the image, and the end of the process. */
  readonly afterMs: number
}

/** What somebody at a terminal waits for. */
export const cli: Scenario = {
  about: 'a warm generate, --help, and a cold start',
  run: ({ say }) =>
    withSandbox(async (sandbox) => {
      say(`${COLD_ROUNDS} cold starts: daemon, worker and first image`)
      const cold: number[] = []
      for (let round = 0; round < COLD_ROUNDS; round++) {
        await sandbox.run(['daemon', 'stop'])
        cold.push(await elapsedMs(() => generate(sandbox)))
      }
      say(`${ROUNDS} warm commands in turn with --help`)
      const commands: Command[] = []
      const warm = async (): Promise<number> => {
        commands.push(await generate(sandbox))
        return commands[commands.length - 1].wallMs
      }
      const help = (): Promise<number> => elapsedMs(() => runOrThrow(sandbox, ['--help']))
      const pairs = await measurePairs(ROUNDS, warm, help)
      return figures(pairs, commands.slice(1), cold)
    }),
}

function figures(
  pairs: { a: number[]; b: number[] },
  commands: readonly Command[],
  cold: readonly number[],
): Record<string, Figure> {
  const part = (of: Exclude<keyof Command, 'wallMs'>): Figure =>
    figure(
      commands.map((command) => command[of]),
      'ms',
    )
  return {
    'warm generate': figure(pairs.a, 'ms', 'about 1000'),
    '- until the job is submitted': part('untilSubmittedMs'),
    '- the job': part('jobMs'),
    '- of the job: inside the runtime': part('runtimeMs'),
    '- after the job': part('afterMs'),
    '--help': figure(pairs.b, 'ms', '< 500'),
    'cold start and first image': figure(cold, 'ms'),
  }
}

/** Runs the README's command. The daemon's own record of the job tells the parts: both clocks are the machine's. */
async function generate(sandbox: Sandbox): Promise<Command> {
  const { prompt, steps, seed, guidanceScale } = DEMO
  const numbers = ['--steps', String(steps), '--seed', String(seed), '--guidance-scale', String(guidanceScale)]
  const startedAt = Date.now()
  const output = join(sandbox.directory, 'star.png')
  const stdout = await runOrThrow(sandbox, ['generate', prompt, ...numbers, '-o', output, '--json'])
  const endedAt = Date.now()
  const { jobId, timings } = JSON.parse(stdout) as { jobId: string; timings: { runtimeMs: number } }
  const client = sandbox.connect()
  const { createdAt, finishedAt = endedAt } = await client.job(jobId)
  await client.close()
  return {
    wallMs: endedAt - startedAt,
    untilSubmittedMs: createdAt - startedAt,
    jobMs: finishedAt - createdAt,
    runtimeMs: timings.runtimeMs,
    afterMs: endedAt - finishedAt,
  }
}
