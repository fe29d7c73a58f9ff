import type { Logger } from './logger.js'
import { preload, type PreloadContext } from './preload.js'

/**
 * Computes the overlays of SWIFTD_LORA_PRELOAD (names with commas between) for the usual model (SWIFTD_MODEL) while the
 * daemon takes jobs already. What cannot be made ready is logged: the job that needs it will tell why.
 */
export async function preloadAtStart(
  context: PreloadContext,
  logger: Logger,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const names = (environment.SWIFTD_LORA_PRELOAD ?? '').split(',').map((name) => name.trim())
  const model = environment.SWIFTD_MODEL || 'demo'
  for (const name of names.filter((each) => each !== '')) {
    try {
      const ready = await preload({ kind: 'lora', names: [name], model, scale: 1, together: false }, context)
      logger.info({ name, model, ready }, 'LoRA preloaded')
    } catch (error) {
      logger.warn({ name, model, err: error }, 'a LoRA could not be preloaded')
    }
  }
}
