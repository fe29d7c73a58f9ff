import { inspectLora } from './models/inspect-adapter.js'
import { findControlNet, findLora } from './models/adapters.js'
import { findModel } from './models/registry.js'
import type { ModelEntry } from './models/kind.js'
import { openCheckpoint } from '../engine/weights/checkpoint.js'
import type { DeviceRoles } from './placement/roles.js'
import { withoutStandIns } from './placement/stand-ins.js'
import type { ParsedPreload, Preloaded } from './protocol/preload.js'
import type { DeviceWorker } from './workers/device-worker.js'
import { deadlineOf } from './workers/deadlines.js'
import type { Method, Parameters, Result } from './workers/messages.js'

/** The daemon's devices and what they are for. */
export interface PreloadContext {
  readonly devices: readonly DeviceWorker[]
  readonly roles: DeviceRoles
}

/**
 * Makes LoRAs or ControlNets ready on every device that may need them.
 * @throws SwiftdError MODEL_NOT_FOUND, INVALID_WEIGHTS, UNSUPPORTED_MODEL, WORKER_LOST
 */
export async function preload(request: ParsedPreload, context: PreloadContext): Promise<Preloaded[]> {
  return request.kind === 'lora' ? preloadLoras(request, context) : preloadControlNets(request, context)
}

async function preloadLoras(
  { names, model, scale, together }: Extract<ParsedPreload, { kind: 'lora' }>,
  { devices, roles }: PreloadContext,
): Promise<Preloaded[]> {
  const loras = names.map((name) => findLora(name))
  if (model === undefined) {
    return loras.map(({ name, path }) => {
      const began = performance.now()
      const { bytes } = inspectLora(path)
      return { name, cached: false, bytes, elapsedMs: performance.now() - began }
    })
  }
  const reference = referenceOf(findModel(model))
  const sets = together ? [loras] : loras.map((lora) => [lora])
  const { base } = withoutStandIns(roles, devices)
  const bases = devices.filter(({ device }) => base.includes(device.name))
  return onEach(bases, async (device) => {
    await ask(device, 'load', { model: reference })
    const ready: Preloaded[] = []
    for (const set of sets) {
      const adapters = set.map(({ path }) => ({ path, scale, textEncoderScale: scale }))
      const made = await ask(device, 'prepareAdapters', { model: reference, adapters, whole: true })
      ready.push({ name: set.map(({ name }) => name).join(' + '), ...described(device, made) })
    }
    return ready
  })
}

async function preloadControlNets(
  { names, model, pinned }: Extract<ParsedPreload, { kind: 'controlnet' }>,
  { devices, roles }: PreloadContext,
): Promise<Preloaded[]> {
  const controlNets = names.map((name) => findControlNet(name))
  const base = referenceOf(findModel(model))
  const serving = roles.controlNet.length === 0 ? withoutStandIns(roles, devices).base : roles.controlNet
  const chosen = devices.filter(({ device }) => serving.includes(device.name))
  return onEach(chosen, async (device) => {
    const ready: Preloaded[] = []
    for (const { name, path } of controlNets) {
      const request = { path, base, ...(pinned !== undefined && { pinned }) }
      ready.push({ name, ...described(device, await ask(device, 'prepareControlNet', request)) })
    }
    return ready
  })
}

function described(
  { device }: DeviceWorker,
  { cached, byteLength, elapsedMs }: { cached: boolean; byteLength: number; elapsedMs: number },
): Omit<Preloaded, 'name'> {
  return { device: device.name, cached, bytes: byteLength, elapsedMs }
}

function referenceOf({ path, options }: ModelEntry) {
  return { path: openCheckpoint(path, options).path, ...(options && { options }) }
}

async function onEach(
  devices: readonly DeviceWorker[],
  task: (device: DeviceWorker) => Promise<Preloaded[]>,
): Promise<Preloaded[]> {
  return (await Promise.all(devices.map(task))).flat()
}

async function ask<M extends Method>(device: DeviceWorker, method: M, parameters: Parameters<M>): Promise<Result<M>> {
  const worker = await device.ready()
  return worker.request(method, parameters, { deadlineMs: deadlineOf(method) })
}
