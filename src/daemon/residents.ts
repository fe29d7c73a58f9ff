import { basename } from 'node:path'
import { listControlNets, listLoras } from './models/adapters.js'
import { listModels } from './models/registry.js'
import type { Resident } from './protocol/status.js'
import type { DeviceWorker } from './workers/device-worker.js'
import type { Resident as WorkerResident } from './workers/messages.js'
import { deadlineOf } from './workers/deadlines.js'

/** Whoever asks for the status waits this long for a worker that is busy with a long call. */
const PATIENCE_MS = 500

/** Tells what the workers keep in memory; of a worker that does not answer soon, what it told last. */
export function createResidentList(devices: readonly DeviceWorker[]): () => Promise<Resident[]> {
  const last = new Map<DeviceWorker, Promise<readonly WorkerResident[]>>()

  async function askDevice(device: DeviceWorker): Promise<readonly WorkerResident[]> {
    const { state } = device.status
    if (state !== 'idle') return []
    const worker = await device.ready()
    return (await worker.request('residents', {}, { deadlineMs: deadlineOf('residents') })).residents
  }

  return async () => {
    const names = namesByPath()
    const lists = devices.map(async (device) => {
      const before = last.get(device) ?? Promise.resolve([])
      const asked = askDevice(device).catch(() => [])
      last.set(device, asked)
      const residents = await Promise.race([asked, later(PATIENCE_MS).then(() => before)])
      return residents.map((each) => describe(each, device, names))
    })
    return (await Promise.all(lists)).flat()
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
