import type { FastifyInstance } from 'fastify'
import { SwiftdError } from '../../../engine/errors.js'
import { preload, type PreloadContext } from '../../preload.js'
import { PreloadRequestSchema, type ParsedPreload } from '../../protocol/preload.js'

/** POST /v1/preload: answers when everything is ready. */
export function preloadRoutes(app: FastifyInstance, context: PreloadContext): void {
  app.post('/v1/preload', async (request) => ({ preloaded: await preload(parse(request.body), context) }))
}

function parse(body: unknown): ParsedPreload {
  const result = PreloadRequestSchema.safeParse(body)
  if (result.success) return result.data
  const [{ path, message }] = result.error.issues
  const field = path.length > 0 ? path.join('.') : 'the request'
  throw new SwiftdError('INVALID_REQUEST', `${field} ${message}; give a kind (lora or controlnet) and names.`)
}
