import { promptDims, type BaseModel } from '../../src/engine/networks/base-model.js'
import { measureInTurn } from '../device-jobs.js'
import { elapsedMs, figure, ratios, type Figure } from '../harness.js'
import { unetMultiplyAdds } from '../multiply-adds.js'
import { openMatrixProducts, type MatrixProducts } from './matrix-products.js'
import { openDeviceModel, openStages, requireFinite, type OpenedModel } from './open-model.js'
import type { PartResult, PartSettings } from './settings.js'

/** Steps beside the rate that the device reaches in large matrix products, and the stages before and after them. */
export async function measureSteps(settings: PartSettings): Promise<PartResult> {
  const opened = await openDeviceModel(settings)
  const products = await openMatrixProducts(opened.host.graphs)
  const steps = await measureRates(opened, products, settings)
  return { coldMs: opened.coldMs, figures: { ...steps, ...(await measureStages(opened.model, settings)) } }
}

async function measureRates(
  { model, pass, step, encode, decode }: OpenedModel,
  products: MatrixProducts,
  { rounds, peak }: PartSettings,
): Promise<Record<string, Figure>> {
  const samples = await measureInTurn(rounds, {
    step: () => elapsedMs(step),
    encoder: () => elapsedMs(encode),
    decoder: () => elapsedMs(decode),
    matMul: () => products.rate('MatMul'),
    gemm: () => products.rate('Gemm'),
  })
  requireFinite('the values of a UNet pass', pass.noise)
  const multiplyAdds = multiplyAddsOf(model, pass.inputs.sample.dims)
  const stepRates = samples.step.map((ms) => (2 * multiplyAdds) / ms / 1e9)
  const best = samples.matMul.map((rate, round) => Math.max(rate, samples.gemm[round]))
  const ofPeak = (rates: readonly number[], tflops: number): Figure =>
    figure(
      rates.map((rate) => rate / tflops),
      'share',
    )
  return {
    step: figure(samples.step, 'ms'),
    'UNet encoder': figure(samples.encoder, 'ms'),
    'UNet decoder': figure(samples.decoder, 'ms'),
    'multiply-adds of a step': figure([multiplyAdds / 1e9], 'GMAC'),
    'rate of a step': figure(stepRates, 'TFLOPS'),
    'rate of large matrix products': figure(best, 'TFLOPS'),
    'side of these matrices': figure([products.side], 'rows'),
    'rate of a step, of that of matrix products': figure(ratios(stepRates, best), 'share'),
    ...(peak !== undefined && {
      'rate of a step, of the given peak': ofPeak(stepRates, peak),
      'rate of matrix products, of the given peak': ofPeak(best, peak),
    }),
  }
}

function multiplyAddsOf({ checkpoint }: BaseModel, [rows, , height, width]: readonly number[]): number {
  const [, tokens] = promptDims(checkpoint).hiddenStates
  return unetMultiplyAdds(checkpoint.unet.config, { rows, height, width, tokens })
}

async function measureStages(
  model: BaseModel,
  { rounds, model: { size } }: PartSettings,
): Promise<Record<string, Figure>> {
  const stages = openStages(model, size)
  const { text, decode } = await measureInTurn(rounds, {
    text: () => elapsedMs(stages.encode),
    decode: () => elapsedMs(stages.decode),
  })
  requireFinite('the values of an encoded prompt', stages.states)
  requireFinite('the values of a decoded picture', stages.image)
  return { 'text encoding': figure(text, 'ms'), 'VAE decode': figure(decode, 'ms') }
}
