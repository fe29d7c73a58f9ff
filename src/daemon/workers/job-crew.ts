import type { Placement } from '../placement/placement.js'
import { createCrewMember, type CrewMember } from './crew.js'
import { deadlineOf } from './deadlines.js'
import type { DeviceWorker } from './device-worker.js'
import type { RemoteControl } from './denoise-message.js'
import type { Parameters, Result } from './messages.js'
import { splitRows } from './parts.js'
import type { ModelReference } from './passes/messages.js'
import type { WorkerProcess } from './worker-process.js'

/** What a worker has for a job besides the model. LoRAs may still be computed then. */
export interface Prepared extends Pick<Result<'prepareControlNet'>, 'cached' | 'byteLength' | 'elapsedMs'> {
  readonly device: string
  readonly kind: 'controlnet' | 'lora'
  readonly paths: readonly string[]
}

/** The devices of a job with what their workers need before they can take part. */
export interface JobCrew {
  readonly base: CrewMember
  readonly second?: CrewMember
  /** Runs the text encoders and the autoencoder. @default the base */
  readonly text?: CrewMember
  /** One for each ControlNet. */
  readonly controlNets: readonly CrewMember[]
  /** One for each ControlNet, for the rows of the second device; undefined where that computes it itself. */
  readonly secondControlNets: readonly (CrewMember | undefined)[]
  /** Everyone but the base device. */
  readonly others: readonly CrewMember[]
  /** A ControlNet on the base device, where its own has failed for good. */
  readonly coLocate: (control: number) => CrewMember
  /** Begins to load the LoRAs; whatever fails of it fails again where they are waited for. */
  beginAdapters(): Promise<void>
}

/** The shapes of a job's largest calls. */
export interface JobWork extends Pick<NonNullable<Parameters<'load'>['work']>, 'decode' | 'encode'> {
  /** The whole batch of the UNet, (B, C, h, w). */
  readonly pass: Dims
}

type Dims = readonly [number, number, number, number]

export interface JobCrewOptions {
  /** The job's id: workers keep for it what it uses. */
  readonly job: string
  readonly work: JobWork
  readonly placement: Placement
  readonly model: ModelReference
  readonly adapters?: Parameters<'prepareAdapters'>['adapters']
  readonly controls: readonly RemoteControl[]
  readonly signal: AbortSignal
  /** Told when a worker has the model. */
  readonly onLoaded: (loaded: Result<'load'>) => void
  /** Told what a ControlNet or LoRAs cost before a worker had them. */
  readonly onPrepared?: (prepared: Prepared) => void
}

export function createJobCrew(options: JobCrewOptions): JobCrew {
  const { job, work, placement, model, adapters, controls, signal, onLoaded, onPrepared } = options
  const tellPrepared = (
    { peer: { device } }: WorkerProcess,
    what: Pick<Prepared, 'kind' | 'paths'>,
    { cached, byteLength, elapsedMs }: Result<'prepareControlNet' | 'prepareAdapters'>,
  ): void => onPrepared?.({ device, ...what, cached, byteLength, elapsedMs })

  const modelMember = (device: DeviceWorker, work: Parameters<'load'>['work']): CrewMember => {
    const prepare = async (worker: WorkerProcess): Promise<void> => {
      onLoaded(await worker.request('load', { model, job, work }, { signal, deadlineMs: deadlineOf('load') }))
    }
    return createCrewMember(device, prepare, signal)
  }
  const [batch, ...image] = work.pass
  const [[, firstRows]] = placement.second ? splitRows(batch) : [[0, batch]]
  const pass: Parameters<'load'>['work'] = { pass: [firstRows, ...image], controls: controls.length }
  const pictures = { decode: work.decode, encode: work.encode }
  const base = modelMember(placement.base, { ...pass, ...(!placement.text && pictures) })
  const second = placement.second && modelMember(placement.second, pass)
  const text = placement.text && modelMember(placement.text, pictures)

  const controlMember = (index: number, device = placement.controlNets[index] ?? placement.base): CrewMember => {
    const { path, picture, pictureKey } = controls[index]
    const request = { path, base: model, picture: { picture, pictureKey }, job, pass: pass.pass }
    const prepare = async (worker: WorkerProcess): Promise<void> => {
      const ask = { signal, deadlineMs: deadlineOf('prepareControlNet') }
      const prepared = await worker.request('prepareControlNet', request, ask)
      tellPrepared(worker, { kind: 'controlnet', paths: [path] }, prepared)
    }
    return createCrewMember(device, prepare, signal)
  }
  const controlNets = controls.map((_, index) => controlMember(index))
  const secondControlNets = controls.map((_, index) => {
    const first = placement.controlNets[index] ?? placement.base
    const { [index]: device = first } = placement.secondControlNets ?? []
    // What was placed on a base device is the work of whoever computes the rows.
    if (device === placement.base || device === placement.second) return undefined
    return device === first ? controlNets[index] : controlMember(index, device)
  })

  async function beginOn(member: CrewMember): Promise<void> {
    if (!adapters) return
    const worker = await member.ready()
    const ask = { signal, deadlineMs: deadlineOf('prepareAdapters') }
    const prepared = await worker.request('prepareAdapters', { model, adapters, whole: false, job }, ask)
    tellPrepared(worker, { kind: 'lora', paths: adapters.map(({ path }) => path) }, prepared)
  }

  const others = [...new Set([...controlNets, ...secondControlNets, second, text])]
  return {
    base,
    ...(second && { second }),
    ...(text && { text }),
    controlNets,
    secondControlNets,
    others: others.filter((member) => member !== undefined),
    coLocate: (index) => controlMember(index, placement.base),
    async beginAdapters() {
      await Promise.all((second ? [base, second] : [base]).map(beginOn))
    },
  }
}
