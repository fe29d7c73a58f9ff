import { residualDims } from '../../src/engine/graph/trunk-shapes.js'
import { scaledResiduals } from '../../src/engine/networks/control-pass.js'
import type { CachedControlNet, ControlNetReference } from '../../src/engine/networks/control-cache.js'
import type { Lease } from '../../src/engine/networks/residency.js'
import { allocateTensor } from '../../src/engine/pipeline/local-tensor.js'
import { tensorBytes } from '../../src/engine/tensor.js'
import { openControlNetComponent } from '../../src/engine/weights/controlnet-file.js'
import { measureInTurn } from '../device-jobs.js'
import { elapsedMs, figure, ratios, type Figure } from '../harness.js'
import { withLinkedCopy } from '../linked-copy.js'
import { openHandover } from './handover.js'
import { openDeviceModel, requireFinite, type OpenedModel } from './open-model.js'
import type { PartResult, PartSettings } from './settings.js'

const MIB = 2 ** 20

/** A ControlNet: until it is ready, its pass beside the UNet's encoder, and its residuals on their way through the host. */
export async function measureControlNets(settings: PartSettings): Promise<PartResult> {
  const opened = await openDeviceModel(settings)
  const readiness = await measureReadiness(opened, settings)
  const figures = { ...readiness, ...(await measurePasses(opened, settings)) }
  return {
    coldMs: opened.coldMs,
    figures: Object.fromEntries(Object.entries(figures).map(([name, each]) => [`ControlNet: ${name}`, each])),
  }
}

/** A path that the device has not seen, in turn with one that stays resident; graphs are compiled by the first round. */
async function measureReadiness(
  opened: OpenedModel,
  { rounds, model: { controlNet: path } }: PartSettings,
): Promise<Record<string, Figure>> {
  const { host, fence } = opened
  const kept = await host.controlNets.acquire(referenceOf(opened, path))
  const readyMs = async (reference: () => ControlNetReference): Promise<number> => {
    const began = performance.now()
    const lease = await host.controlNets.acquire(reference())
    await fence()
    const taken = performance.now() - began
    lease.end()
    // What nobody uses goes at once, outside of the time.
    await host.controlNets.trim()
    return taken
  }
  const { cold, cached } = await measureInTurn(rounds, {
    cold: () => withLinkedCopy(path, (copy) => readyMs(() => referenceOf(opened, copy))),
    cached: () => readyMs(() => referenceOf(opened, path)),
  })
  kept.end()
  const { byteLength } = kept.value
  const hasOwnMemory = host.graphs.environment.provider.hasOwnMemory
  return {
    'cold, until it is ready': figure(cold, 'ms'),
    'cached, until it is ready': figure(cached, 'ms'),
    'bytes of its weights': figure([byteLength / 1e9], 'GB'),
    ...(hasOwnMemory && {
      upload: figure(
        cold.map((ms) => byteLength / ms / 1e6),
        'GB/s',
      ),
    }),
  }
}

function referenceOf({ model }: OpenedModel, path: string): ControlNetReference {
  return { path, component: openControlNetComponent(path, model.checkpoint) }
}

/** Its pass in turn with bare steps, with steps that read its residuals, and with handing over as much as these. */
async function measurePasses(opened: OpenedModel, settings: PartSettings): Promise<Record<string, Figure>> {
  const { host, model, pass, step, encode } = opened
  const lease = await host.controlNets.acquire(referenceOf(opened, settings.model.controlNet))
  const { network } = lease.value
  const residuals = residualDims(network.shapes, pass.inputs.sample.dims).map((dims) => allocateTensor(dims).native)
  const conditioning = await embed(lease, settings.model.size)
  const added = scaledResiduals(residuals, Array<number>(residuals.length).fill(1))
  const handOver = await openHandover(host.graphs, residuals)
  const samples = await measureInTurn(settings.rounds, {
    pass: () => elapsedMs(() => network.run(pass.inputs, conditioning, residuals)),
    handOver: () => elapsedMs(handOver),
    encoder: () => elapsedMs(encode),
    bare: () => elapsedMs(step),
    added: () => elapsedMs(() => model.predictNoise(pass.inputs, pass.noise, { residuals: [added] })),
  })
  residuals.forEach((residual) => requireFinite('the residuals of a ControlNet', residual))
  requireFinite('the values of a UNet pass with residuals', pass.noise)
  const byteLength = residuals.reduce((sum, { type, dims }) => sum + tensorBytes(type, dims), 0)
  return {
    pass: figure(samples.pass, 'ms'),
    'pass, of the UNet encoder': figure(ratios(samples.pass, samples.encoder), 'ratio'),
    residuals: figure([byteLength / MIB], 'MiB'),
    'residuals, handed over to the host': figure(samples.handOver, 'ms'),
    'handing over, of the pass': figure(ratios(samples.handOver, samples.pass), 'share'),
    'step with residuals from the host, of a bare one': figure(ratios(samples.added, samples.bare), 'ratio'),
  }
}

async function embed({ value }: Lease<CachedControlNet>, size: number) {
  const picture = allocateTensor([1, 3, size, size])
  picture.data.fill(0.5)
  return (await value.conditioningOf('grey', picture.native)).value.conditioning
}
