import { openModelHost } from '../../src/engine/networks/model-host.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import type { DaemonClient } from '../../src/daemon/client/client.js'
import type { JobEvent } from '../../src/daemon/protocol/event.js'
import { allocatePass, openBareUnet } from '../bare-unet.js'
import { DEMO, runOrThrow, withSandbox } from '../demo.js'
import { figure, measurePairs, median, type Figure, type Scenario } from '../harness.js'

const ROUNDS = 20

type StepEvent = Extract<JobEvent, { type: 'step' }>

/** Time per step that is not the runtime's own: in the daemon's own words, and against the bare runtime. */
export const overhead: Scenario = {
  about: 'time per step outside the runtime, on the demo model',
  run: ({ cacheDirectory, say }) =>
    withSandbox(async (sandbox) => {
      await runOrThrow(sandbox, ['daemon', 'start'])
      const client = sandbox.connect()
      const threads = (await client.status()).devices[0].threads
      say(`${ROUNDS} jobs of ${DEMO.steps} steps through the daemon, in turn with the bare runtime, ${threads} threads`)
      const jobs: StepEvent[][] = []
      const bare = await openBare(threads, cacheDirectory)
      try {
        const job = async (): Promise<number> => {
          jobs.push(await steadySteps(client))
          return median(jobs[jobs.length - 1].map(({ elapsedMs }) => elapsedMs))
        }
        const pairs = await measurePairs(ROUNDS, job, () => Promise.resolve(bare.stepMs()))
        // The first job warms up.
        return figures(jobs.slice(1).flat(), pairs)
      } finally {
        await bare.release()
      }
    }),
}

function figures(steps: readonly StepEvent[], pairs: { a: number[]; b: number[] }): Record<string, Figure> {
  const outside = steps.map(({ runtimeMs, elapsedMs }) => 1 - runtimeMs / elapsedMs)
  const overBare = pairs.a.map((daemonMs, index) => (daemonMs - pairs.b[index]) / daemonMs)
  return {
    'step outside the runtime': figure(outside, 'share', '< 0.03'),
    'step over the bare runtime': figure(overBare, 'share'),
    'step through the daemon': figure(pairs.a, 'ms'),
    'step of the bare runtime': figure(pairs.b, 'ms'),
  }
}

/** The steps of one job, without its first, which also waits for what comes before denoising. */
async function steadySteps(client: DaemonClient): Promise<StepEvent[]> {
  const { path, prompt, size, steps, guidanceScale, seed } = DEMO
  const request = { prompt, seed, guidanceScale, model: path, width: size, height: size, numInferenceSteps: steps }
  const { id } = await client.submit(request)
  const events: StepEvent[] = []
  for await (const event of client.events(id)) {
    if (event.type === 'step' && event.step > 1) events.push(event)
    if (event.type === 'failed') throw new Error(`The job failed: ${event.error.message}`)
  }
  return events
}

/** The same passes in this process: both halves of the guidance as one batch, as the daemon computes them. */
async function openBare(threads: number, cacheDirectory: string) {
  const host = openModelHost({ threads, cacheDirectory })
  const checkpoint = openCheckpoint(DEMO.path)
  const tensors = allocatePass(checkpoint, 2, DEMO.size / checkpoint.vaeScale)
  const unet = await openBareUnet(host, checkpoint, tensors, cacheDirectory)
  return {
    stepMs(): number {
      const times = Array.from({ length: DEMO.steps }, () => {
        const started = performance.now()
        unet.pass()
        return performance.now() - started
      })
      return median(times.slice(1))
    },
    async release() {
      unet.release()
      tensors.release()
      await host.release()
    },
  }
}
