import { expect } from 'vitest'
import type { DaemonClient } from '../../src/daemon/client/client.js'
import type { DeviceStep, JobEvent } from '../../src/daemon/protocol/event.js'
import type { RgbImage } from '../../src/engine/image/pixels.js'
import { difference, draw, type Drawn } from './draw.js'
import { createSandbox, type Sandbox } from './sandbox.js'

/** A daemon with several devices of one thread each. */
export interface Cluster {
  readonly sandbox: Sandbox
  readonly client: DaemonClient
}

/** Starts one with the devices cpu:0, cpu:1, … */
export async function startCluster(devices: number, env: Record<string, string> = {}): Promise<Cluster> {
  const sandbox = createSandbox(env)
  const flags = Array.from({ length: devices }, (_, index) => ['--device', `cpu:${index}=1`]).flat()
  const { exitCode, stderr } = await sandbox.run(['daemon', 'start', ...flags])
  if (exitCode !== 0) throw new Error(stderr)
  return { sandbox, client: sandbox.connect() }
}

/** Sends a signal to the worker that a device has at this moment. */
export async function signalWorker(client: DaemonClient, device: string, signal: NodeJS.Signals): Promise<void> {
  const { devices } = await client.status()
  const pid = devices.find(({ name }) => name === device)?.pid
  if (pid === undefined) throw new Error(`The device ${device} has no worker.`)
  process.kill(pid, signal)
}

/** Runs a job and signals a device's worker when step `at` is done. */
export async function drawDisturbed(
  client: DaemonClient,
  request: Parameters<DaemonClient['submit']>[0],
  { device, signal = 'SIGKILL', at = 3 }: { device: string; signal?: NodeJS.Signals; at?: number },
): Promise<Drawn> {
  let sent: Promise<void> | undefined
  const drawn = await draw(client, request, (event) => {
    if (event.type === 'step' && event.step >= at) sent ??= signalWorker(client, device, signal)
  })
  await sent
  return drawn
}

/** Checks that two pictures agree in every pixel. */
export function expectSamePixels(drawn: Pick<Drawn, 'images'>, expected: Pick<Drawn, 'images'>): void {
  expect(drawn.images.length).toBe(expected.images.length)
  const differences = drawn.images.map((image, index) => difference(image, expected.images[index]))
  expect(differences).toEqual(differences.map(() => 0))
}

/** The largest difference of two pictures in grey levels, and the share of values that differ at all. */
export function deviation(a: RgbImage, b: RgbImage): { readonly most: number; readonly share: number } {
  let [most, differing] = [0, 0]
  for (const [index, value] of a.data.entries()) {
    const apart = Math.abs(value - b.data[index])
    most = Math.max(most, apart)
    if (apart > 0) differing++
  }
  return { most, share: differing / a.data.length }
}

/** Events of one type. */
export function eventsOf<T extends JobEvent['type']>(
  { events }: Pick<Drawn, 'events'>,
  type: T,
): Extract<JobEvent, { type: T }>[] {
  return events.filter((event): event is Extract<JobEvent, { type: T }> => event.type === type)
}

/** Which devices took part in a job's last step, with their roles: `base cpu:0`. */
export function rolesOf(drawn: Pick<Drawn, 'events'>): string[] {
  return timingsOf(drawn).map(({ role, device }) => `${role} ${device}`)
}

/** What the devices did in a job's last step. */
export function timingsOf(drawn: Pick<Drawn, 'events'>): readonly DeviceStep[] {
  return eventsOf(drawn, 'step').at(-1)?.devices ?? []
}
