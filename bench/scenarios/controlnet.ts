import type { GenerateRequest } from '../../src/daemon/protocol/request.js'
import {
  CONTROL_PICTURE,
  DEMO_REQUEST,
  deviceFigure,
  measureInTurn,
  sd15Request,
  stepRatio,
  stepTime,
  withDevices,
  type MeasuredJob,
  type RunJob,
} from '../device-jobs.js'
import { figure, type Figure, type Scenario } from '../harness.js'
import { linkedCopy } from '../linked-copy.js'
import { planRequestOf, predictionFigures } from '../predicted-steps.js'
import type { MakePlan } from '../device-jobs.js'
import { makeRandomCheckpoint, makeRandomControlNet } from '../random-checkpoint.js'

/** Two devices of one thread: what one of them computes does not slow the other. */
const DEVICES = ['cpu:0=1', 'cpu:1=1']
const DEMO_ROUNDS = 10
const ROUNDS = 2
const STEPS = 4
const COLD_ROUNDS = 4
const MIB = 2 ** 20

/** What a ControlNet adds to a step, on a device of its own and on the base device. */
export const controlnet: Scenario = {
  about: 'a step with a ControlNet on its own device, on the demo model and one of SD1.5 size',
  async run({ cacheDirectory, say }) {
    say('a random SD1.5 checkpoint and ControlNet in float32 (made once: 5.7 GB)')
    const options = { cacheDirectory, family: 'sd15', dtype: 'F32' } as const
    const model = await makeRandomCheckpoint(options)
    const path = await makeRandomControlNet(options)
    return withDevices(DEVICES, async (run, plan) => {
      say(`demo model: ${DEMO_ROUNDS} times a job without, with its own device, with one device in turn`)
      const demo = await measureSteps({ run, plan }, 'demo', DEMO_REQUEST, 'canny', DEMO_ROUNDS)
      say(`SD1.5 size at 256x256: the same ${ROUNDS} times with ${STEPS} steps`)
      const large = await measureSteps({ run, plan }, 'SD1.5', sd15Request(model, STEPS), path, ROUNDS)
      say(`${COLD_ROUNDS} times the ControlNet under a path that no worker has seen`)
      return { ...demo, ...large, ...(await measureLoading(run, sd15Request(model, 2), path)) }
    })
  },
}

const onDevices = (controlNetDevices: string[]) => ({ placement: { baseDevice: 'cpu:0', controlNetDevices } })

async function measureSteps(
  { run, plan }: { readonly run: RunJob; readonly plan: MakePlan },
  label: string,
  request: GenerateRequest,
  controlNet: string,
  rounds: number,
): Promise<Record<string, Figure>> {
  const controls = [{ controlNet, image: CONTROL_PICTURE }]
  const requests = {
    bare: { ...request, ...onDevices([]) },
    apart: { ...request, controls, ...onDevices(['cpu:1']) },
    together: { ...request, controls, ...onDevices(['cpu:0']) },
  }
  // Before the jobs, as the planner does for a model that is new to it.
  const plans = { bare: await plan(planRequestOf(request)), controlled: await plan(planRequestOf(requests.apart)) }
  const { bare, apart, together } = await measureInTurn(rounds, {
    bare: () => run(requests.bare),
    apart: () => run(requests.apart),
    together: () => run(requests.together),
  })
  const cached = apart.flatMap(({ prepared }) =>
    prepared.flatMap(({ cached, elapsedMs }) => (cached ? [elapsedMs] : [])),
  )
  return {
    [`${label}: step with its own device, of a bare one`]: stepRatio(apart, bare, '<= 1.1'),
    [`${label}: step with one device, of a bare one`]: stepRatio(together, bare),
    [`${label}: bare step`]: stepTime(bare),
    ...predictionFigures(`${label}: predicted bare step`, plans.bare, { request: requests.bare, jobs: bare }),
    ...predictionFigures(`${label}: predicted step with its own device`, plans.controlled, {
      ...{ request: requests.apart, jobs: apart },
    }),
    ...predictionFigures(`${label}: predicted step with one device`, plans.controlled, {
      ...{ request: requests.together, jobs: together },
    }),
    ...partsOf(label, apart),
    [`${label}: a ControlNet that is cached, until it is ready`]: figure(cached, 'ms'),
  }
}

/** Where the time of steps with a ControlNet of its own device went. */
function partsOf(label: string, apart: readonly MeasuredJob[]): Record<string, Figure> {
  return {
    [`${label}: UNet encoder`]: deviceFigure(apart, 'base', ({ encoderMs }) => encoderMs, 'ms'),
    [`${label}: ControlNet beside it`]: deviceFigure(apart, 'controlnet', ({ controlNetMs }) => controlNetMs, 'ms'),
    [`${label}: waiting for its residuals`]: deviceFigure(apart, 'base', ({ waitMs }) => waitMs, 'ms'),
    [`${label}: messages there and back`]: deviceFigure(apart, 'controlnet', ({ messageMs }) => messageMs, 'ms'),
    [`${label}: residuals in shared memory`]: deviceFigure(
      apart,
      'controlnet',
      ({ sharedBytes }) => sharedBytes && sharedBytes / MIB,
      'MiB',
    ),
  }
}

/** A ControlNet that the worker has not seen, with compiled graphs: from its files to its embedded picture. */
async function measureLoading(run: RunJob, request: GenerateRequest, path: string): Promise<Record<string, Figure>> {
  const samples: { loadMs: number; stepMs: number }[] = []
  for (let round = 0; round < COLD_ROUNDS; round++) {
    const copy = linkedCopy(path)
    try {
      const controls = [{ controlNet: copy.path, image: CONTROL_PICTURE }]
      const { prepared, stepMs } = await run({ ...request, controls, ...onDevices(['cpu:1']) })
      samples.push({ loadMs: prepared[0].elapsedMs, stepMs })
    } finally {
      copy.remove()
    }
  }
  return {
    'SD1.5: a cold ControlNet, mapped and bound, of a step': figure(
      samples.map(({ loadMs, stepMs }) => loadMs / stepMs),
      'ratio',
      '< 1',
    ),
    'SD1.5: a cold ControlNet, mapped and bound': figure(
      samples.map(({ loadMs }) => loadMs),
      'ms',
    ),
  }
}
