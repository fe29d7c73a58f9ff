import { fileURLToPath } from 'node:url'
import type { ModelEntry, NamedEntry } from './kind.js'

/** What comes with swiftd. The folder is the same three levels up from src/ and from dist/. */
function fixture(path: string): string {
  return fileURLToPath(new URL(`../../../fixtures/models/${path}`, import.meta.url))
}

const MODELS: readonly ModelEntry[] = [
  { name: 'demo', path: fixture('tiny-shapes-xl'), defaults: { numInferenceSteps: 20, guidanceScale: 5 } },
]

const LORAS: readonly NamedEntry[] = ['stripes', 'neon'].map((name) => ({
  name,
  path: fixture(`loras/${name}.safetensors`),
}))

const CONTROLNETS: readonly NamedEntry[] = ['canny', 'depth'].map((name) => ({
  name,
  path: fixture(`controlnets/${name}`),
}))

/** The models that are always there and cannot be removed. */
export function builtInModels(): readonly ModelEntry[] {
  return MODELS
}

/** The demo model's LoRAs. */
export function builtInLoras(): readonly NamedEntry[] {
  return LORAS
}

/** The demo model's ControlNets. */
export function builtInControlNets(): readonly NamedEntry[] {
  return CONTROLNETS
}
