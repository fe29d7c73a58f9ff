import { z } from 'zod'
import { isErrorCode } from './error.js'
import type { ErrorCode } from '../../engine/errors.js'

/** `WireError` as received. A code that only a newer peer knows is read as a fault of that peer. */
export const WireErrorSchema = z.object({
  code: z.string().transform((code): ErrorCode => (isErrorCode(code) ? code : 'INTERNAL_ERROR')),
  message: z.string(),
})

/** The body of every HTTP answer that is not a success. */
export const ErrorBodySchema = z.object({ error: WireErrorSchema })
