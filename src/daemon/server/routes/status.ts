import type { FastifyInstance } from 'fastify'
import { ShutdownRequestSchema, type DaemonStatus, type ShutdownAnswer } from '../../protocol/status.js'

/** What is asked of the daemon as a whole. */
export interface DaemonControl {
  status(): Promise<DaemonStatus>
  /** Begins to stop; returns at once. */
  shutdown(graceMs: number): ShutdownAnswer
}

/** /healthz, /v1/status and /v1/shutdown. They serve clients of every protocol version. */
export function statusRoutes(app: FastifyInstance, control: DaemonControl): void {
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/v1/status', () => control.status())
  app.post('/v1/shutdown', (request, reply) => {
    const { graceMs } = ShutdownRequestSchema.parse(request.body ?? {})
    return reply.code(202).send(control.shutdown(graceMs))
  })
}
