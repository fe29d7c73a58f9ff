import { z } from 'zod'
import { WireErrorSchema } from '../../protocol/wire-error.js'
import { ControlOpenSchema, PassOpenSchema } from './messages.js'

/**
 * What workers say to each other, as lines of JSON over a connection for each piece of work. The first line opens it, every
 * further one is a step (`ControlRun` or `PassRun`); each is answered by one line. Whoever ends the connection ends the
 * work; the side that computes ends it only after it has stopped writing to the job's tensors.
 */
export const PeerOpenSchema = z.discriminatedUnion('kind', [
  ControlOpenSchema,
  PassOpenSchema,
  /** No work: each step is answered at once, to time the messages. */
  z.object({ kind: z.literal('echo') }),
])
export type PeerOpen = z.infer<typeof PeerOpenSchema>

export const PeerAnswerSchema = z.union([
  z.object({
    error: WireErrorSchema,
    /** The device of a third worker that the asked one has lost. */
    lostDevice: z.string().optional(),
  }),
  z.object({ done: z.unknown() }),
])
export type PeerAnswer = z.infer<typeof PeerAnswerSchema>

/** What opening the work of a pass answers. */
export const PassOpenedSchema = z.object({ adaptersReady: z.boolean() })
export type PassOpened = z.infer<typeof PassOpenedSchema>
