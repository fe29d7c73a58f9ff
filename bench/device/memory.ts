import { existsSync, readFileSync } from 'node:fs'
import { readMachineGpus } from '../../src/daemon/gpus/machine.js'
import { figure, type Figure } from '../harness.js'
import { loadOpened, openDevice, openStages } from './open-model.js'
import type { PartDevice, PartResult, PartSettings } from './settings.js'

const MIB = 2 ** 20

/**
 * What a process takes of the device's memory for a job of the size, against what the account expects. Runtimes keep what
 * their largest run took, so it is enough to look afterwards.
 */
export async function measureMemory(settings: PartSettings): Promise<PartResult> {
  const { device, model: files } = settings
  const opened = await openDevice(settings)
  const before = await takenBytes(device, 'now')
  if (before === undefined) return { figures: {} }
  const { host, model, pass, step } = await loadOpened(opened, settings)
  const stages = openStages(model, files.size)
  await host.prepare(model.checkpoint, { pass: pass.inputs.sample.dims, decode: stages.latents.dims })
  for (let run = 0; run < 2; run++) {
    await stages.encode()
    await step()
    await stages.decode()
  }
  const after = await takenBytes(device, 'most')
  return { figures: after === undefined ? {} : memoryFigures(after - before, host.memory.usedBytes) }
}

function memoryFigures(taken: number, expected: number): Record<string, Figure> {
  return {
    'memory taken': figure([taken / MIB], 'MiB'),
    'memory that the account expects': figure([expected / MIB], 'MiB'),
    'memory taken, of what the account expects': figure([taken / expected], 'ratio', '<= 1'),
  }
}

const STATUS = '/proc/self/status'
const STATUS_FIELDS = { now: 'VmRSS', most: 'VmHWM' } as const

/** Of the card, as its driver tells it for all processes; of the host, this process's own. Undefined where nobody tells it. */
async function takenBytes({ provider, address }: PartDevice, when: 'now' | 'most'): Promise<number | undefined> {
  if (provider === 'cpu') {
    const kilobytes =
      existsSync(STATUS) && new RegExp(`^${STATUS_FIELDS[when]}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(STATUS, 'utf8'))
    return kilobytes ? 1024 * Number(kilobytes[1]) : undefined
  }
  if (address === undefined) return undefined
  const memory = (await readMachineGpus()).gpus.find((gpu) => gpu.address === address)?.memory
  return memory && memory.totalBytes - memory.freeBytes
}
