import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { SwiftdError } from '../../../engine/errors.js'
import { admit } from '../../jobs/admission.js'
import { createJob, type JobRecord } from '../../jobs/job.js'
import type { JobQueue } from '../../jobs/job-queue.js'
import type { JobStore } from '../../jobs/job-store.js'
import type { Planner } from '../../placement/planner.js'
import { MAX_REQUEST_BYTES } from '../../protocol/limits.js'
import type { Job } from '../../protocol/job.js'
import { eventLines } from '../event-stream.js'

const JobParams = z.object({ id: z.string() })
const ImageParams = z.object({ id: z.string(), index: z.coerce.number() })

/** /v1/jobs: submit, list, follow, cancel, and fetch the images. */
interface JobParts {
  readonly queue: JobQueue
  readonly store: JobStore
  readonly planner: Pick<Planner, 'check'>
}

export function jobRoutes(app: FastifyInstance, { queue, store, planner }: JobParts): void {
  const describe = (job: JobRecord): Job => job.describe(queue.positionOf(job))
  const jobOf = (params: unknown): JobRecord => store.get(JobParams.parse(params).id)

  app.post('/v1/jobs', { bodyLimit: MAX_REQUEST_BYTES }, async (request, reply) => {
    const admitted = await admit(request.body)
    planner.check(admitted.request)
    const job = queue.submit((queuePosition) => createJob(randomBytes(6).toString('hex'), admitted, queuePosition))
    return reply.code(202).header('location', `/v1/jobs/${job.id}`).send(describe(job))
  })

  app.get('/v1/jobs', () => ({ jobs: store.list().map(describe) }))

  app.get('/v1/jobs/:id', (request) => describe(jobOf(request.params)))

  app.get('/v1/jobs/:id/events', (request, reply) => {
    const job = jobOf(request.params)
    return reply.type('application/x-ndjson').send(Readable.from(eventLines(job)))
  })

  // Cancelling what is finished is no error: the answer tells its state.
  app.delete('/v1/jobs/:id', (request, reply) => {
    const job = jobOf(request.params)
    job.cancel()
    return reply.code(202).send(describe(job))
  })

  app.get('/v1/jobs/:id/images/:index', (request, reply) => {
    const { id, index } = ImageParams.parse(request.params)
    const image = store.get(id).images.at(index)
    if (!image || index < 0) throw new SwiftdError('JOB_NOT_FOUND', `The job ${id} has no image ${index}.`)
    return reply.type('image/png').send(image)
  })
}
