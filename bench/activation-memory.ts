/**
 * Measures what each network's runs take of memory besides weights, for the factors in src/engine/networks/graph-work.ts:
 *
 *     npx tsx bench/activation-memory.ts [sd15 | demo]
 *
 * Each size is measured in a process of its own, from Linux's accounts (proc(5)). A network first runs on a tiny input, which
 * brings the weights' pages in; then twice on the size, as in a job, since the runtime plans its memory anew for the second
 * run. What counts is the peak over the state before.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { residualDims } from '../src/engine/graph/trunk-shapes.js'
import { PORTABLE } from '../src/engine/graph/target.js'
import * as values from '../src/engine/networks/activations.js'
import { openModelHost } from '../src/engine/networks/model-host.js'
import { allocateTensor } from '../src/engine/pipeline/local-tensor.js'
import type { NativeTensor } from '../src/engine/tensor.js'
import { openCheckpoint } from '../src/engine/weights/checkpoint.js'
import { openControlNetComponent } from '../src/engine/weights/controlnet-file.js'
import { allocatePass } from './bare-unet.js'
import { makeRandomCheckpoint, makeRandomControlNet } from './random-checkpoint.js'

const CACHE = join(homedir(), '.cache/swiftd/bench')
const MODELS = join(import.meta.dirname, '../fixtures/models')

/** Rows of the batch, then height and width in latents. */
type Size = readonly [rows: number, height: number, width: number]

const SIZES: Readonly<Record<string, readonly Size[]>> = {
  demo: [
    [2, 16, 16],
    [2, 32, 32],
    [8, 16, 16],
    [2, 64, 64],
  ],
  sd15: [
    [2, 32, 32],
    [2, 48, 64],
    [2, 64, 64],
    [1, 64, 64],
    [4, 32, 32],
  ],
}

interface Measured {
  readonly network: string
  /** Values that live at once at most, as the estimate has them. */
  readonly values: number
  readonly peakBytes: number
  readonly keptBytes: number
}

const [kind = 'demo', ...size] = process.argv.slice(2)
if (size.length > 0) {
  const measured = await measure(kind, size.map(Number) as unknown as Size)
  process.stdout.write(JSON.stringify(measured))
  process.exit(0)
}
for (const each of SIZES[kind]) {
  const loader = ['--import', import.meta.resolve('tsx')]
  const args = [...loader, import.meta.filename, kind, ...each.map(String)]
  const { stdout } = await execa(process.execPath, args, { stderr: 'inherit' })
  for (const { network, values: live, peakBytes, keptBytes } of JSON.parse(stdout) as Measured[]) {
    const [estimate, peak, kept] = [4 * live, peakBytes, keptBytes].map((bytes) => (bytes / 1e6).toFixed(1).padStart(8))
    const factor = (peakBytes / (4 * live)).toFixed(2)
    console.log(
      `${each.join('x').padEnd(9)} ${network.padEnd(14)} live ${estimate} MB  peak ${peak} MB  kept ${kept} MB  factor ${factor}`,
    )
  }
}

async function measure(model: string, [rows, height, width]: Size): Promise<Measured[]> {
  const options = { cacheDirectory: CACHE, family: 'sd15', dtype: 'F32' } as const
  const isDemo = model === 'demo'
  const path = isDemo ? join(MODELS, 'tiny-shapes-xl') : await makeRandomCheckpoint(options)
  const controlPath = isDemo ? join(MODELS, 'controlnets/canny') : await makeRandomControlNet(options)
  const host = openModelHost({ threads: 2, cacheDirectory: CACHE })
  const checkpoint = openCheckpoint(path)
  const { networks } = await host.load(checkpoint)
  const control = openControlNetComponent(controlPath, checkpoint)
  const lease = await host.controlNets.acquire({ path: controlPath, component: control })
  const { network: controlNet } = lease.value
  const scale = checkpoint.vaeScale
  const tensor = (dims: readonly number[]): NativeTensor => {
    const made = allocateTensor(dims)
    // Its pages are there before the measurement begins.
    made.data.fill(0.1)
    return made.native
  }
  const pass = (batch: number, h: number, w: number) => {
    const { inputs } = allocatePass(checkpoint, batch, 8)
    const dims = (channels: number) => [batch, channels, h, w]
    const sample = tensor(dims(checkpoint.unet.config.in_channels))
    return { inputs: { ...inputs, sample }, noise: tensor(dims(checkpoint.unet.config.out_channels)) }
  }
  const tiny = { pass: pass(1, 8, 8), latents: tensor([1, 4, 8, 8]), image: tensor([1, 3, 8 * scale, 8 * scale]) }
  const full = pass(rows, height, width)
  const [latents, image] = [tensor([1, 4, height, width]), tensor([1, 3, height * scale, width * scale])]
  const moments = (h: number, w: number) => tensor([1, 2 * checkpoint.vae.config.latent_channels, h, w])
  const [tinyMoments, fullMoments] = [moments(8, 8), moments(height, width)]
  const residuals = residualDims(controlNet.shapes, full.inputs.sample.dims).map(tensor)
  const tinyResiduals = residualDims(controlNet.shapes, tiny.pass.inputs.sample.dims).map(tensor)
  const latentSize = { rows, height, width }
  const [one, pixels] = [
    { rows: 1, height, width },
    { rows: 1, height: height * scale, width: width * scale },
  ]
  const measured: Measured[] = []
  const stage = async (network: string, live: number, warm: () => Promise<unknown>, run: () => Promise<unknown>) => {
    await warm()
    await warm()
    globalThis.gc?.()
    writeFileSync('/proc/self/clear_refs', '5')
    const before = status('VmRSS') - status('RssFile')
    await run()
    await run()
    // Pages of weights that came in now are no working memory.
    const files = status('RssFile')
    const [peak, after] = [status('VmHWM') - files, status('VmRSS') - files]
    measured.push({ network, values: live, peakBytes: peak - before, keptBytes: after - before })
  }
  const { unet, vae, textEncoders } = networks
  for (const [index, encoder] of textEncoders.entries()) {
    const { config } = encoder
    const ids = (count: number) =>
      Array.from({ length: count }, () => new Array<number>(config.max_position_embeddings).fill(1))
    const output = [`hidden_states.${config.num_hidden_layers - 1}`]
    await stage(
      `text-encoder ${index}`,
      values.textEncoderValues(config, 1),
      () => Promise.resolve(),
      () => encoder.run(ids(1), output),
    )
  }
  await stage(
    'unet-encoder',
    values.encoderValues(unet.config, latentSize, PORTABLE),
    () => unet.encode(tiny.pass.inputs),
    () => unet.encode(full.inputs),
  )
  await unet.encode(tiny.pass.inputs)
  await unet.decode(tiny.pass.inputs, tiny.pass.noise)
  await unet.encode(full.inputs)
  const nothing = () => Promise.resolve()
  await stage('unet-decoder', values.decoderValues(unet.config, latentSize, PORTABLE), nothing, () =>
    unet.decode(full.inputs, full.noise),
  )
  const embedTiny = async () => (await controlNet.embed(tiny.image)).conditioning
  const tinyConditioning = await embedTiny()
  let conditioning = tinyConditioning
  await stage(
    'embedding',
    values.embeddingValues(control.config, pixels),
    embedTiny,
    async () => ({ conditioning } = await controlNet.embed(image)),
  )
  await stage(
    'controlnet',
    values.controlNetValues(control.config, latentSize, PORTABLE),
    () => controlNet.run(tiny.pass.inputs, tinyConditioning, tinyResiduals),
    () => controlNet.run(full.inputs, conditioning, residuals),
  )
  await stage(
    'vae-decoder',
    values.vaeDecoderValues(vae.config, one, PORTABLE),
    () => vae.decode(tiny.latents, tiny.image),
    () => vae.decode(latents, image),
  )
  await stage(
    'vae-encoder',
    values.vaeEncoderValues(vae.config, pixels, PORTABLE),
    () => vae.encode(tiny.image, tinyMoments),
    () => vae.encode(image, fullMoments),
  )
  return measured
}

/** Bytes that /proc/self/status has under a name. */
function status(field: string): number {
  const text = readFileSync('/proc/self/status', 'utf8')
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1])
}
