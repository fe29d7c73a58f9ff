import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Where Mesa puts the descriptions of its Vulkan drivers, on Debian and most others. */
const DRIVERS = '/usr/share/vulkan/icd.d'

/** Why tests that need it are skipped where it is missing. */
export const NO_HALF_DRIVER =
  'There is no Vulkan driver with half precision here: apt-get install mesa-vulkan-drivers (23.1 or newer) has one in software, or VK_DRIVER_FILES names one.'

/**
 * A Vulkan driver that may compute in half precision, which SwiftShader does not: the one that is chosen for this process, which
 * may be a GPU's, or lavapipe, Mesa's driver in software.
 * @returns what a process that is to use it has in its environment
 */
export function findHalfDriver(): Readonly<Record<string, string>> | undefined {
  const { VK_DRIVER_FILES, LD_LIBRARY_PATH = '' } = process.env
  if (VK_DRIVER_FILES !== undefined) return { VK_DRIVER_FILES, LD_LIBRARY_PATH }
  const files = existsSync(DRIVERS) ? readdirSync(DRIVERS) : []
  const lavapipe = files.find((name) => name.startsWith('lvp_icd') && name.endsWith('.json'))
  return lavapipe === undefined ? undefined : { VK_DRIVER_FILES: join(DRIVERS, lavapipe) }
}
