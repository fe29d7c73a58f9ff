import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromRgbImages, type RgbImage } from '../../src/engine/image/pixels.js'
import type { Precision } from '../../src/engine/graph/target.js'
import { openModelHost, type ModelHost } from '../../src/engine/networks/model-host.js'
import { generate, type GenerateResult } from '../../src/engine/pipeline/generate.js'
import { localStages, type LocalAdapters, type LocalControl } from '../../src/engine/pipeline/local-stages.js'
import { allocateTensor, nativeOf } from '../../src/engine/pipeline/local-tensor.js'
import type { GenerateRequest } from '../../src/engine/pipeline/request.js'
import type { Stages } from '../../src/engine/pipeline/stages.js'
import { openTokenizer } from '../../src/engine/text/tokenizer.js'
import { openCheckpoint, type Checkpoint } from '../../src/engine/weights/checkpoint.js'
import { openControlNetComponent } from '../../src/engine/weights/controlnet-file.js'

export const MODELS = join(import.meta.dirname, '../../fixtures/models')

/** What a picture of the demo model needs at least; the rest is 128x128, 20 Euler steps, guidance 5. */
export type DemoRequest = Pick<GenerateRequest, 'prompt' | 'seeds'> & Partial<GenerateRequest>

/** The demo model in this process, without a daemon. */
export interface DemoEngine {
  readonly host: ModelHost
  readonly cacheDirectory: string
  readonly checkpoint: Checkpoint
  readonly stages: Stages
  generate(request: DemoRequest): Promise<GenerateResult>
  /** Runs a task with one of the demo LoRAs, at scale 1. */
  withLora<T>(name: 'stripes' | 'neon', task: (prepared: LocalAdapters) => Promise<T>): Promise<T>
  /** Runs a task with one of the demo ControlNets and its picture. */
  withControl<T>(name: 'canny' | 'depth', picture: RgbImage, task: (control: LocalControl) => Promise<T>): Promise<T>
  release(): Promise<void>
}

export async function openDemoEngine(precision?: Precision): Promise<DemoEngine> {
  const cacheDirectory = mkdtempSync(join(tmpdir(), 'swiftd-demo-'))
  const host = openModelHost({ threads: 2, cacheDirectory, ...(precision && { precision }) })
  const checkpoint = openCheckpoint(join(MODELS, 'tiny-shapes-xl'))
  const model = await host.load(checkpoint)
  const stages = localStages(model)
  const tokenizers = await Promise.all(checkpoint.textEncoders.map((each) => openTokenizer(each.tokenizerDirectory)))
  const defaults = {
    negativePrompt: null,
    scheduler: checkpoint.scheduler,
    width: 128,
    height: 128,
    numInferenceSteps: 20,
    guidanceScale: 5,
  }
  return {
    host,
    cacheDirectory,
    checkpoint,
    stages,
    generate: (request) => generate({ checkpoint, tokenizers, stages, request: { ...defaults, ...request } }),
    async withLora(name, task) {
      const lease = await host.adapters.acquire(model, [
        { path: join(MODELS, 'loras', `${name}.safetensors`), scale: 1 },
      ])
      try {
        return await task({ key: name, set: await lease.value.whole() })
      } finally {
        lease.end()
      }
    },
    async withControl(name, picture, task) {
      const path = join(MODELS, 'controlnets', name)
      const lease = await host.controlNets.acquire({ path, component: openControlNetComponent(path, checkpoint) })
      const { dims, data } = fromRgbImages([picture], 'unit')
      const input = allocateTensor(dims)
      input.data.set(data)
      // Embedded pictures are cached: each needs a key of its own.
      const digest = createHash('sha256').update(picture.data).digest('hex')
      const embedded = await lease.value.conditioningOf(digest, nativeOf(input))
      try {
        return await task({ key: name, network: lease.value.network, conditioning: embedded.value.conditioning })
      } finally {
        embedded.end()
        lease.end()
        input.release()
      }
    },
    async release() {
      await host.release()
      rmSync(cacheDirectory, { recursive: true })
    },
  }
}
