import { z } from 'zod'
import type { DeviceSpec } from '../workers/devices.js'
import { runChild } from './child.js'
import { pinnedEnvironment } from './pinning.js'
import type { DeviceFailure } from './reasons.js'

/** What check-main.ts prints, and what a check tells. */
export type DeviceCheck =
  { readonly usable: true; readonly milliseconds: number } | ({ readonly usable: false } & DeviceFailure)

const DeviceCheckSchema = z.discriminatedUnion('usable', [
  z.object({ usable: z.literal(true), milliseconds: z.number() }),
  z.object({ usable: z.literal(false), reason: z.string(), remedy: z.string().optional() }),
])

export interface CheckOptions {
  readonly environment?: NodeJS.ProcessEnv
  /** @default a minute: CUDA's libraries have hundreds of megabytes, and a GPU may have to wake up */
  readonly deadlineMs?: number
}

/**
 * Proves that a device computes: a child process opens it as its worker would, in the same environment, runs a small graph
 * and compares the result. What crashes there does not crash here.
 */
export async function checkDevice(device: DeviceSpec, options: CheckOptions = {}): Promise<DeviceCheck> {
  const { environment = process.env, deadlineMs = 60_000 } = options
  const { provider, threads } = device
  try {
    const told = await runChild(new URL('./check-main', import.meta.url), {
      args: [provider, String(threads)],
      environment: { ...environment, ...pinnedEnvironment(device, environment) },
      deadlineMs,
    })
    return DeviceCheckSchema.parse(told)
  } catch (error) {
    return { usable: false, reason: error instanceof Error ? error.message.replace(/\.$/, '') : String(error) }
  }
}
