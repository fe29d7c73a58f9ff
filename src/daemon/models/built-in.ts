import { fileURLToPath } from 'node:url'
import type { ModelEntry } from './registry.js'

/** The model that comes with swiftd. The folder is the same three levels up from src/ and from dist/. */
const DEMO: ModelEntry = {
  name: 'demo',
  path: fileURLToPath(new URL('../../../fixtures/models/tiny-shapes-xl', import.meta.url)),
  defaults: { numInferenceSteps: 20, guidanceScale: 5 },
}

/** The models that are always there and cannot be removed. */
export function builtInModels(): readonly ModelEntry[] {
  return [DEMO]
}
