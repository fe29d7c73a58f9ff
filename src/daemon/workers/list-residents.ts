import type { ModelHost } from '../../engine/networks/model-host.js'
import type { Result } from './messages.js'
import type { Resident } from './resident-messages.js'

/** What is resident on a device, and the account of its memory. */
export function listResidents(host: ModelHost): Result<'residents'> {
  const { controlNets, adapters, memory } = host
  const bases = host.models().map(({ value: { path, byteLength }, uses, pinned, lastUsed }): Resident => {
    return { kind: 'model', path, byteLength, uses, pinned, lastUsed }
  })
  const services = controlNets.entries().map(({ value: { path, byteLength }, uses, pinned, lastUsed }): Resident => {
    return { kind: 'controlnet', path, byteLength, uses, pinned, lastUsed }
  })
  const overlays = adapters.entries().map(({ value, uses, pinned, lastUsed }): Resident => {
    const { model, byteLength } = value
    const parts = value.descriptions.map(({ path, scale }) => ({ path, scale }))
    return { kind: 'lora', path: parts[0].path, parts, model, byteLength, uses, pinned, lastUsed }
  })
  const { limitBytes, ...figures } = memory
  return {
    residents: [...bases, ...services, ...overlays],
    // JSON has no infinity.
    memory: { ...figures, ...(Number.isFinite(limitBytes) && { limitBytes }) },
  }
}
