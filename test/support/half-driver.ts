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
 * @returns the path of its description
 */
export function findHalfDriver(): string | undefined {
  const chosen = process.env.VK_DRIVER_FILES
  if (chosen !== undefined) return chosen
  const files = existsSync(DRIVERS) ? readdirSync(DRIVERS) : []
  const lavapipe = files.find((name) => name.startsWith('lvp_icd') && name.endsWith('.json'))
  return lavapipe === undefined ? undefined : join(DRIVERS, lavapipe)
}
