import { viewMemory } from '../memory/libc.js'
import { tensorBytes, type NativeTensor } from '../tensor.js'
import type { Traffic } from './environment.js'

/** Inputs in the host's memory for a device that has memory of its own: each run needs its values copied. */
export interface HostInputs {
  /** @param steady whether the values seldom change: they are compared then, and copied when they did */
  set(name: string, tensor: NativeTensor, steady: boolean): void
  delete(name: string): void
  /** Copies what the next run reads. */
  send(): void
}

interface HostInput {
  readonly tensor: NativeTensor
  readonly steady: boolean
  /** The values that the device has. */
  sent?: Buffer
}

/** @param copy copies a tensor to the device and binds it */
export function createHostInputs(copy: (name: string, tensor: NativeTensor) => void, traffic: Traffic): HostInputs {
  const inputs = new Map<string, HostInput>()
  return {
    set: (name, tensor, steady) => void inputs.set(name, { tensor, steady }),
    delete: (name) => void inputs.delete(name),
    send() {
      for (const [name, input] of inputs) {
        const byteLength = tensorBytes(input.tensor.type, input.tensor.dims)
        if (input.steady) {
          const values = Buffer.from(viewMemory(input.tensor.address, byteLength))
          if (input.sent?.equals(values)) continue
          input.sent = Buffer.from(values)
        }
        copy(name, input.tensor)
        traffic.toDevice += byteLength
      }
    },
  }
}
