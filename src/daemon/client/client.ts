import type { JobEvent } from '../protocol/event.js'
import type { Job } from '../protocol/job.js'
import type { Plan, PlanRequest } from '../protocol/plan.js'
import type { Preloaded, PreloadRequest } from '../protocol/preload.js'
import type { Recipe } from '../protocol/recipe.js'
import type { GenerateRequest } from '../protocol/request.js'
import type { DaemonStatus, ShutdownAnswer } from '../protocol/status.js'
import { createTransport } from './transport.js'

/**
 * The daemon as its clients see it. Schemas are loaded while the daemon answers, not before it is asked: they are most of
 * what a command would otherwise wait for.
 *
 * Every call throws SwiftdError: the daemon's own code, DAEMON_UNREACHABLE, or DAEMON_VERSION.
 */
export interface DaemonClient {
  submit(request: GenerateRequest): Promise<Job>
  job(id: string): Promise<Job>
  jobs(): Promise<Job[]>
  /** The job's events from its first one on; ends after the terminal one. */
  events(id: string, signal?: AbortSignal): AsyncGenerator<JobEvent, void>
  /** Asks for a job's end; its state when asked is returned, the events tell when it has stopped. */
  cancel(id: string): Promise<Job>
  /** The PNG of a finished image. */
  image(id: string, index: number): Promise<Buffer>
  /** What makes a PNG again, from its metadata. Its file is given in base64. */
  recipe(image: string): Promise<Recipe>
  /** Where a job would run, and why. Measures what is not known of that, which may take as long as some steps. */
  plan(request: PlanRequest): Promise<Plan>
  /** Makes LoRAs or ControlNets ready; answers when they are. */
  preload(request: PreloadRequest): Promise<Preloaded[]>
  /** Also answers clients of other versions. */
  status(): Promise<DaemonStatus>
  /** Also answers clients of other versions. Returns before the daemon is gone. */
  shutdown(graceMs?: number): Promise<ShutdownAnswer>
  close(): Promise<void>
}

export function createClient(socketPath: string): DaemonClient {
  const transport = createTransport(socketPath)
  const request = transport.request
  const pathOf = (id: string): string => `/v1/jobs/${encodeURIComponent(id)}`

  async function jobFrom(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<Job> {
    const [answer, { JobSchema }] = await Promise.all([request(method, path, { body }), import('../protocol/job.js')])
    return JobSchema.parse(await answer.json())
  }

  return {
    submit: (body) => jobFrom('POST', '/v1/jobs', body),
    job: (id) => jobFrom('GET', pathOf(id)),
    cancel: (id) => jobFrom('DELETE', pathOf(id)),
    async jobs() {
      const [answer, { JobListSchema }] = await Promise.all([request('GET', '/v1/jobs'), import('../protocol/job.js')])
      return JobListSchema.parse(await answer.json()).jobs
    },
    async *events(id, signal) {
      const [answer, { readEvents }] = await Promise.all([
        request('GET', `${pathOf(id)}/events`, { signal }),
        import('./events.js'),
      ])
      yield* readEvents(answer.body)
    },
    image: async (id, index) => (await request('GET', `${pathOf(id)}/images/${index}`)).bytes(),
    async recipe(image) {
      const [answer, { RecipeSchema }] = await Promise.all([
        request('POST', '/v1/recipes', { body: { image } }),
        import('../protocol/recipe.js'),
      ])
      return RecipeSchema.parse(await answer.json())
    },
    async plan(body) {
      const [answer, { PlanSchema }] = await Promise.all([
        request('POST', '/v1/plan', { body, patient: true }),
        import('../protocol/plan.js'),
      ])
      return PlanSchema.parse(await answer.json())
    },
    async preload(body) {
      const [answer, { PreloadAnswerSchema }] = await Promise.all([
        request('POST', '/v1/preload', { body }),
        import('../protocol/preload.js'),
      ])
      return PreloadAnswerSchema.parse(await answer.json()).preloaded
    },
    async status() {
      const [answer, { DaemonStatusSchema }] = await Promise.all([
        request('GET', '/v1/status', { anyVersion: true }),
        import('../protocol/status.js'),
      ])
      return DaemonStatusSchema.parse(await answer.json())
    },
    async shutdown(graceMs) {
      const [answer, { ShutdownAnswerSchema }] = await Promise.all([
        request('POST', '/v1/shutdown', { anyVersion: true, body: { graceMs } }),
        import('../protocol/status.js'),
      ])
      return ShutdownAnswerSchema.parse(await answer.json())
    },
    close: () => transport.close(),
  }
}
