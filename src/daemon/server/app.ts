import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { SwiftdError } from '../../engine/errors.js'
import type { JobQueue } from '../jobs/job-queue.js'
import type { JobStore } from '../jobs/job-store.js'
import type { Logger } from '../logger.js'
import type { Planner } from '../placement/planner.js'
import { PROTOCOL_HEADER, PROTOCOL_VERSION, SWIFTD_VERSION } from '../protocol/version.js'
import { handleError, handleNotFound } from './error-handler.js'
import { jobRoutes } from './routes/jobs.js'
import { planRoutes } from './routes/plan.js'
import { recipeRoutes } from './routes/recipes.js'
import type { PreloadContext } from '../preload.js'
import { preloadRoutes } from './routes/preload.js'
import { statusRoutes, type DaemonControl } from './routes/status.js'

export interface AppParts {
  readonly queue: JobQueue
  readonly store: JobStore
  readonly planner: Planner
  readonly control: DaemonControl
  readonly logger: Logger
  readonly preload: PreloadContext
}

/** Paths that must answer clients of other versions, too: how else could they tell, or stop the daemon? */
const VERSION_FREE = ['/healthz', '/v1/status', '/v1/shutdown']

/** The HTTP side of the daemon. It listens nowhere yet. */
export function createApp({ queue, store, planner, control, logger, preload }: AppParts): FastifyInstance {
  const loggerInstance: FastifyBaseLogger = logger
  const app = Fastify({ loggerInstance, logController: new LogController({ disableRequestLogging: true }) })
  app.setErrorHandler(handleError)
  app.setNotFoundHandler(handleNotFound)
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header(PROTOCOL_HEADER, String(PROTOCOL_VERSION))
    const spoken = request.headers[PROTOCOL_HEADER]
    if (spoken === undefined || spoken === String(PROTOCOL_VERSION) || VERSION_FREE.includes(request.url)) return done()
    const versions = `this client speaks protocol ${String(spoken)}, the daemon (swiftd ${SWIFTD_VERSION}) protocol ${PROTOCOL_VERSION}`
    done(new SwiftdError('DAEMON_VERSION', `Versions differ: ${versions}; run "swiftd daemon restart" and try again.`))
  })
  statusRoutes(app, control)
  jobRoutes(app, { queue, store, planner })
  planRoutes(app, { queue, control, planner })
  preloadRoutes(app, preload)
  recipeRoutes(app)
  return app
}
