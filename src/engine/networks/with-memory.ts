import type { DeviceMemory, Need } from './device-memory.js'
import type { GraphWork, Workspaces } from './workspaces.js'

/**
 * Takes memory for a result, and for the work of computing it, then computes. What was taken for the result is given back if that
 * fails; that of the work stays with its sessions, which cannot be released meanwhile.
 * @throws SwiftdError OUT_OF_MEMORY, and what computing throws
 */
export async function withMemory<T>(
  { memory, workspaces }: { readonly memory: DeviceMemory; readonly workspaces: Workspaces },
  need: Need,
  work: readonly GraphWork[],
  compute: () => Promise<T>,
): Promise<T> {
  const unbind = workspaces.bind(work, () => true)
  try {
    await workspaces.prepare(work, { ...need, name: `Computing ${need.name.replace('The', 'the')}` })
    await memory.take(need)
    try {
      return await compute()
    } catch (error) {
      memory.give(need.byteLength)
      throw error
    }
  } finally {
    unbind()
  }
}
