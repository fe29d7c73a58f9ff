import { typesOf } from '../../src/engine/graph/target.js'
import { allocateNative } from '../../src/engine/memory/native-memory.js'
import { FLOAT_BYTES } from '../../src/engine/networks/weight-bytes.js'
import { createUploader } from '../../src/engine/networks/device-weights.js'
import type { NativeTensor } from '../../src/engine/tensor.js'
import { openCheckpoint } from '../../src/engine/weights/checkpoint.js'
import { measureInTurn } from '../device-jobs.js'
import { elapsedMs, figure, ratios, type Figure } from '../harness.js'
import { openDeviceModel, type OpenedModel } from './open-model.js'
import type { PartResult, PartSettings } from './settings.js'

/** Large enough that the calls around it do not show, small enough for one buffer of any device. */
const TENSOR_BYTES = 64 * 2 ** 20
/** Uploads of it in one sample. */
const UPLOADS = 8

/** Loading the model again in a process whose graphs are compiled, in turn with uploading one large tensor. */
export async function measureLoading(settings: PartSettings): Promise<PartResult> {
  const opened = await openDeviceModel(settings)
  const { coldMs, host } = opened
  const reload = createReload(opened, settings)
  // Pages of the host's memory are mapped and bound, and nothing is copied.
  const upload = host.graphs.environment.provider.hasOwnMemory ? await createUploads(opened) : undefined
  const tasks: Record<string, () => Promise<number>> = {
    loads: reload.milliseconds,
    ...(upload && { uploads: upload }),
  }
  const { loads, uploads } = await measureInTurn(settings.rounds, tasks)
  const figures = {
    'until the model is ready, with compiled graphs': figure(loads, 'ms'),
    ...(upload && uploadFigures(loads, uploads, reload.byteLength())),
  }
  return { coldMs, figures }
}

/** Loads the model anew, and tells how many bytes of it went to the device the last time. */
function createReload({ host, fence }: OpenedModel, { model: { checkpoint: path } }: PartSettings) {
  const { traffic } = host.graphs.environment
  let byteLength = 0
  return {
    byteLength: () => byteLength,
    milliseconds: async (): Promise<number> => {
      await host.unload(path)
      const before = traffic.toDevice
      const taken = await elapsedMs(async () => {
        await host.load(openCheckpoint(path))
        await fence()
      })
      byteLength = traffic.toDevice - before
      return taken
    },
  }
}

/** Uploads one tensor of the model's type several times by the call that uploads weights. */
async function createUploads({ host: { graphs }, fence }: OpenedModel): Promise<() => Promise<number>> {
  const { weights: type } = typesOf(await graphs.target())
  // Its pages are there before the first upload.
  const memory = allocateNative(TENSOR_BYTES)
  memory.floats.fill(0)
  const tensor: NativeTensor = { type, dims: [TENSOR_BYTES / FLOAT_BYTES[type]], address: memory.address }
  const uploader = createUploader(graphs)
  return () =>
    elapsedMs(async () => {
      for (let upload = 0; upload < UPLOADS; upload++) (await uploader.upload(tensor, type)).release()
      await fence()
    })
}

function uploadFigures(
  loads: readonly number[],
  uploads: readonly number[],
  byteLength: number,
): Record<string, Figure> {
  const rates = (times: readonly number[], bytes: number): number[] => times.map((ms) => bytes / ms / 1e6)
  const [whole, single] = [rates(loads, byteLength), rates(uploads, UPLOADS * TENSOR_BYTES)]
  return {
    'bytes of the model': figure([byteLength / 1e9], 'GB'),
    'upload of the model': figure(whole, 'GB/s'),
    'upload of one large tensor': figure(single, 'GB/s'),
    'upload of the model, of one large tensor': figure(ratios(whole, single), 'share'),
  }
}
