import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ZodError } from 'zod'
import { isSwiftdError } from '../../engine/errors.js'
import { ERRORS, toWireError, type WireError } from '../protocol/error.js'
import { tooLarge } from '../protocol/request-rules.js'

/** Answers with the error's own status and `{error: {code, message}}`. Faults of swiftd itself are logged. */
export function handleError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const failure = describe(error)
  if (failure.code === 'INTERNAL_ERROR') request.log.error({ err: error }, 'request failed')
  return reply.code(ERRORS[failure.code].status).send({ error: failure })
}

export function handleNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error: WireError = { code: 'INVALID_REQUEST', message: `There is no ${request.method} ${request.url}.` }
  return reply.code(404).send({ error })
}

function describe(error: FastifyError | ZodError): WireError {
  if (isSwiftdError(error)) return toWireError(error)
  if (error instanceof ZodError) {
    const [issue] = error.issues
    return { code: 'INVALID_REQUEST', message: `The request is not valid: ${issue.path.join('.')} ${issue.message}.` }
  }
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return toWireError(tooLarge())
  // What fastify itself refuses: a body that is no JSON, or is too large.
  const refused = error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
  return refused ? { code: 'INVALID_REQUEST', message: `${error.message}.` } : toWireError(error)
}
