import type { FastifyInstance } from 'fastify'
import { SwiftdError } from '../../../engine/errors.js'
import { nativeSize, openCheckpoint } from '../../../engine/weights/checkpoint.js'
import type { JobQueue } from '../../jobs/job-queue.js'
import { findControlNet } from '../../models/adapters.js'
import { findModel } from '../../models/registry.js'
import { explain, withRoles } from '../../placement/explain.js'
import type { Planner } from '../../placement/planner.js'
import { PlanRequestSchema, type Plan } from '../../protocol/plan.js'
import { explainIssue } from '../../protocol/request-error.js'
import type { DaemonControl } from './status.js'

/** Only whether it is above 1 matters here, and every family's default is. */
const GUIDED = 7.5

interface PlanParts {
  readonly queue: Pick<JobQueue, 'running'>
  readonly control: Pick<DaemonControl, 'status'>
  readonly planner: Planner
}

/** /v1/plan: where a job would run, and why. */
export function planRoutes(app: FastifyInstance, { queue, control, planner }: PlanParts): void {
  const free = () => planner.devices.filter((device) => !queue.running.has(device))

  app.post('/v1/plan', async (request, reply): Promise<Plan> => {
    const { measure, ...asked } = parsePlanRequest(request.body)
    const model = findModel(asked.model)
    const checkpoint = openCheckpoint(model.path, model.options)
    const controls = asked.controls.map((name) => findControlNet(name))
    const size = nativeSize(checkpoint)
    const planned = {
      ...asked,
      ...{ modelPath: model.path, modelOptions: model.options, controls },
      ...{ width: asked.width ?? size.width, height: asked.height ?? size.height },
      guidanceScale: asked.guidanceScale ?? model.defaults?.guidanceScale ?? GUIDED,
    }
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    if (measure) await planner.measure(planned, free(), gone.signal)
    const { devices } = await control.status()
    return {
      ...{ model: model.name, width: planned.width, height: planned.height },
      devices: devices.map((device) => withRoles(device, planner)),
      ...explain(planned, { planner, free: free(), controlNames: controls.map(({ name }) => name) }),
    }
  })
}

function parsePlanRequest(body: unknown) {
  const result = PlanRequestSchema.safeParse(body ?? {})
  if (result.success) return result.data
  throw new SwiftdError(
    'INVALID_REQUEST',
    explainIssue(result.error, body, () => Object.keys(PlanRequestSchema.shape)),
  )
}
