import { z } from 'zod'

/**
 * starting: the worker comes up, or comes up again. idle: ready for a job. busy: works on one.
 * failed: it died several times before it was ready; `reason` says how. stopped: the daemon is going down.
 */
export const DeviceStateSchema = z.enum(['starting', 'idle', 'busy', 'failed', 'stopped'])
export type DeviceState = z.infer<typeof DeviceStateSchema>

/** The account of a device's memory, in bytes; without a limit where there is none. */
export const DeviceMemoryStatusSchema = z.object({
  /** What may be on it at once. */
  limitBytes: z.number().optional(),
  /** Weights, overlays and working memory; on a CPU the weights are mapped pages of their files. */
  usedBytes: z.number(),
  /** Of that: what the runtime keeps for its runs. */
  workBytes: z.number(),
})
export type DeviceMemoryStatus = z.infer<typeof DeviceMemoryStatusSchema>

/** What a device computes in. */
export const PrecisionSchema = z.enum(['float32', 'mixed', 'float16'])

export const DeviceStatusSchema = z.object({
  /** For example `cpu:0`. */
  name: z.string(),
  threads: z.number(),
  state: DeviceStateSchema,
  /** Absent while it has no worker. */
  precision: PrecisionSchema.optional(),
  /** Of its worker. */
  pid: z.number().optional(),
  /** How often its worker was replaced since the daemon started. */
  restarts: z.number(),
  /** Why the last worker died. */
  reason: z.string().optional(),
  jobId: z.string().optional(),
  /** Absent until its worker has told. */
  memory: DeviceMemoryStatusSchema.optional(),
})
export type DeviceStatus = z.infer<typeof DeviceStatusSchema>

/** model: a checkpoint. lora: an adapter, with its overlay of the weights that it changes. */
export const ResidentKindSchema = z.enum(['model', 'controlnet', 'lora'])

/** Something that a worker keeps in memory, so that the next job need not load it. */
export const ResidentSchema = z.object({
  name: z.string(),
  kind: ResidentKindSchema,
  /** Whose worker has it. */
  device: z.string(),
  /** Of its weights. */
  bytes: z.number(),
  /** How many use it at this moment. */
  uses: z.number(),
  /** It stays, however little it is used. */
  pinned: z.boolean().optional(),
  /** Milliseconds since its last use. */
  lastUsedMs: z.number(),
})
export type Resident = z.infer<typeof ResidentSchema>

/** ready: takes jobs. draining: finishes or cancels what runs and takes no more. */
export const DaemonStateSchema = z.enum(['ready', 'draining'])
export type DaemonState = z.infer<typeof DaemonStateSchema>

export const DaemonStatusSchema = z.object({
  version: z.string(),
  protocolVersion: z.number(),
  pid: z.number(),
  state: DaemonStateSchema,
  uptimeMs: z.number(),
  logFile: z.string(),
  devices: z.array(DeviceStatusSchema),
  /** Names of devices: those that may run base models, and those that are kept for ControlNets. */
  roles: z.object({ base: z.array(z.string()), controlNet: z.array(z.string()) }).optional(),
  jobs: z.object({
    queued: z.number(),
    /** More queued jobs than this are refused. */
    queueLimit: z.number(),
    running: z.number(),
    /** Finished jobs whose record and images can still be fetched. */
    finished: z.number(),
  }),
  /** The shared memory of daemon and workers, in bytes. */
  arena: z.object({ used: z.number(), size: z.number() }),
  /** What the workers keep in memory. */
  residents: z.array(ResidentSchema).optional(),
})
export type DaemonStatus = z.infer<typeof DaemonStatusSchema>

/** The body of POST /v1/shutdown. */
export const ShutdownRequestSchema = z.strictObject({
  /** How long running jobs may take to finish before they are cancelled. */
  graceMs: z.number().min(0).max(86_400_000).default(10_000),
})

/** What POST /v1/shutdown answers, before the daemon is gone. */
export const ShutdownAnswerSchema = z.object({ pid: z.number(), running: z.number(), queued: z.number() })
export type ShutdownAnswer = z.infer<typeof ShutdownAnswerSchema>
