import type { GenerateRequest } from '../../src/daemon/protocol/request.js'
import {
  CONTROL_PICTURE,
  deviceFigure,
  measureInTurn,
  sd15Request,
  stepRatio,
  stepTime,
  withDevices,
  type RunJob,
} from '../device-jobs.js'
import type { Figure, Scenario } from '../harness.js'
import { planRequestOf, predictionFigures } from '../predicted-steps.js'
import type { MakePlan } from '../device-jobs.js'
import { makeRandomCheckpoint, makeRandomControlNet, makeRandomLora } from '../random-checkpoint.js'

/** Two devices of one thread, and, in a daemon of its own, one that has both. */
const TWO = ['cpu:0=1', 'cpu:1=1']
const BOTH = ['cpu:0=2']
const ROUNDS = 2
const STEPS = 4

/** The goal of 1.9 times the speed, as a share of the time. */
const GOAL = '<= 0.526'

/** The two halves of the guidance on two devices, against one device with one thread and one with both. */
export const latentParallel: Scenario = {
  about: 'a step of SD1.5 size on two devices by latent parallelism, against one device',
  async run({ cacheDirectory, say }) {
    say('a random SD1.5 checkpoint, ControlNet and two LoRAs in float32 (made once: 5.9 GB)')
    const options = { cacheDirectory, family: 'sd15', dtype: 'F32' } as const
    const model = await makeRandomCheckpoint(options)
    const controlNet = await makeRandomControlNet(options)
    const loras = [await makeRandomLora(options), await makeRandomLora({ ...options, seed: 1 })]
    const request = sd15Request(model, STEPS)
    const addons = {
      controls: [{ controlNet, image: CONTROL_PICTURE }],
      loras: loras.map((name) => ({ name, scale: 0.5 })),
    }
    return withDevices(TWO, (run, plan) =>
      withDevices(BOTH, async (runBoth, planBoth) => {
        const daemons = { two: { run, plan }, both: { run: runBoth, plan: planBoth } }
        say(
          `${ROUNDS} times a job of ${STEPS} steps at 256x256 on one device, on two, and on one with both threads in turn`,
        )
        const plain = await measureSplit(daemons, '', request)
        say('the same with a ControlNet and two LoRAs')
        const label = ' with a ControlNet and two LoRAs'
        return { ...plain, ...(await measureSplit(daemons, label, { ...request, ...addons })) }
      }),
    )
  },
}

interface Daemon {
  readonly run: RunJob
  readonly plan: MakePlan
}

async function measureSplit(
  daemons: { readonly two: Daemon; readonly both: Daemon },
  label: string,
  request: GenerateRequest,
): Promise<Record<string, Figure>> {
  // Whoever computes the UNet's rows computes their ControlNet, too: no third device is at hand.
  const on = (baseDevice: string, secondDevice?: string) => ({
    ...request,
    ...(secondDevice && { latentParallel: true }),
    placement: { baseDevice, controlNetDevices: [baseDevice], ...(secondDevice && { secondDevice }) },
  })
  const requests = { one: on('cpu:0'), two: on('cpu:0', 'cpu:1') }
  const { run } = daemons.two
  const runBoth = daemons.both.run
  // Before the jobs, as the planner does for a model that is new to it.
  const plan = await daemons.two.plan(planRequestOf(request))
  const planBoth = await daemons.both.plan(planRequestOf(request))
  // One step warms up everything.
  for (const each of Object.values(requests)) await run({ ...each, numInferenceSteps: 1 })
  await runBoth({ ...requests.one, numInferenceSteps: 1 })
  const { one, two, both } = await measureInTurn(
    ROUNDS,
    { one: () => run(requests.one), two: () => run(requests.two), both: () => runBoth(requests.one) },
    0,
  )
  return {
    [`step on two devices, of one${label}`]: stepRatio(two, one, GOAL),
    [`the same, of one with both threads${label}`]: stepRatio(two, both),
    [`messages, of the step${label}`]: deviceFigure(
      two,
      'second',
      ({ messageMs = 0 }, { elapsedMs }) => messageMs / elapsedMs,
      'share',
      '<= 0.01',
    ),
    [`messages there and back${label}`]: deviceFigure(two, 'second', ({ messageMs }) => messageMs, 'ms'),
    [`step on one device${label}`]: stepTime(one),
    [`step on two devices${label}`]: stepTime(two),
    [`step on one device with both threads${label}`]: stepTime(both),
    ...predictionFigures(`predicted step on one device${label}`, plan, { request: requests.one, jobs: one }),
    ...predictionFigures(`predicted step on two devices${label}`, plan, { request: requests.two, jobs: two }),
    ...predictionFigures(`predicted step on one device with both threads${label}`, planBoth, {
      ...{ request: requests.one, jobs: both },
    }),
  }
}
