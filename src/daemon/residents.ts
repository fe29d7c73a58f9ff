import { basename } from 'node:path'
import { listControlNets, listLoras } from './models/adapters.js'
import { listModels } from './models/registry.js'
import type { DeviceMemoryStatus, Resident } from './protocol/status.js'
import type { DeviceWorker } from './workers/device-worker.js'
import type { Result } from './workers/messages.js'
import type { Resident as WorkerResident } from './workers/resident-messages.js'
import { deadlineOf } from './workers/deadlines.js'

/** What the workers keep in memory, and how much of it each device has. */
export interface MemoryStatus {
  readonly residents: readonly Resident[]
  /** By the device's name; without those whose worker has told nothing yet. */
  readonly memory: ReadonlyMap<string, DeviceMemoryStatus>
}

/** Whoever asks for the status waits this long for a worker that is busy with a long call. */
const PATIENCE_MS = 500

/** Tells what the workers keep in memory; of a worker that does not answer soon, what it told last. */
export function createResidentList(devices: readonly DeviceWorker[]): () => Promise<MemoryStatus> {
  type Told = Result<'residents'> | undefined
  const last = new Map<DeviceWorker, Promise<Told>>()

  async function askDevice(device: DeviceWorker): Promise<Told> {
    if (device.status.state !== 'idle') return undefined
    const worker = await device.ready()
    return worker.request('residents', {}, { deadlineMs: deadlineOf('residents') })
  }

  return async () => {
    const names = namesByPath()
    const asking = devices.map(async (device) => {
      const before = last.get(device) ?? Promise.resolve(undefined)
      const asked = askDevice(device).catch(() => undefined)
      last.set(device, asked)
      return { device, told: await Promise.race([asked, later(PATIENCE_MS).then(() => before)]) }
    })
    const answers = await Promise.all(asking)
    return {
      residents: answers.flatMap(
        ({ device, told }) => told?.residents.map((each) => describe(each, device, names)) ?? [],
      ),
      memory: new Map(answers.flatMap(({ device, told }) => (told ? [[device.device.name, told.memory]] : []))),
    }
  }
}

function later(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref())
}

function namesByPath(): ReadonlyMap<string, string> {
  const entries = [...listModels(), ...listLoras(), ...listControlNets()]
  return new Map(entries.map(({ path, name }) => [path, name]))
}

function describe(
  { kind, path, model, byteLength, uses, pinned, lastUsed, parts }: WorkerResident,
  { device }: DeviceWorker,
  names: ReadonlyMap<string, string>,
): Resident {
  const nameOf = (file: string): string => names.get(file) ?? basename(file)
  const name = parts
    ? `${parts.map((part) => `${nameOf(part.path)}:${part.scale}`).join(' + ')} on ${nameOf(model ?? '')}`
    : nameOf(path)
  const lastUsedMs = lastUsed > 0 ? Math.max(0, Date.now() - lastUsed) : 0
  return { name, kind, device: device.name, bytes: byteLength, uses, ...(pinned && { pinned }), lastUsedMs }
}
