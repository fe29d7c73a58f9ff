import { setImmediate as nextTurn } from 'node:timers/promises'
import { openModelHost, type ModelHost } from '../../engine/networks/model-host.js'
import type { BaseModel } from '../../engine/networks/base-model.js'
import { promptDims } from '../../engine/networks/base-model.js'
import { denoise } from '../../engine/pipeline/denoise.js'
import { localStages } from '../../engine/pipeline/local-stages.js'
import type { NativeTensor } from '../../engine/tensor.js'
import { openCheckpoint } from '../../engine/weights/checkpoint.js'
import { toWireError } from '../protocol/error.js'
import { SWIFTD_VERSION } from '../protocol/version.js'
import {
  ARENA_FD,
  PARAMETERS,
  ToWorkerSchema,
  WORKER_PROTOCOL_VERSION,
  type DenoiseProgress,
  type FromWorker,
  type Method,
  type ModelReference,
  type Parameters,
  type Result,
  type ToWorker,
} from './messages.js'
import { readPlan, rowsOf } from './denoise-message.js'
import { openArena, type ArenaView } from './tensor-arena.js'
import type { TensorHandle } from './tensor-handle.js'

/**
 * The program of a worker process: it owns the runtime and one device, answers requests, and knows nothing of jobs.
 * Arguments: the device's name, its threads, the arena's size, the engine's cache directory.
 */
const [deviceName, threads, arenaBytes, cacheDirectory] = process.argv.slice(2)

/** What a handler may use besides its parameters. */
interface RequestContext {
  readonly signal: AbortSignal
  readonly progress: (steps: DenoiseProgress[]) => void
}

type Handlers = {
  readonly [M in Method]: (parameters: Parameters<M>, context: RequestContext) => Promise<Result<M>>
}

process.title = `swiftd worker ${deviceName}`
// The whole process group hears a terminal's Ctrl-C; the daemon decides what becomes of its workers.
process.on('SIGINT', () => undefined)
// Without a daemon nobody wants the result of a run in flight, and no orderly exit should wait for it.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

try {
  const arena = openArena(ARENA_FD, Number(arenaBytes))
  const host = openModelHost({ threads: Number(threads), cacheDirectory })
  serve(createHandlers(host, arena))
  send({ type: 'hello', protocolVersion: WORKER_PROTOCOL_VERSION, version: SWIFTD_VERSION, pid: process.pid })
} catch (error) {
  send({ type: 'failed', reason: toWireError(error).message }, () => process.exit(1))
}

function serve(handlers: Handlers): void {
  const running = new Map<number, AbortController>()
  process.on('message', (value: unknown) => {
    const message = ToWorkerSchema.parse(value)
    switch (message.type) {
      case 'shutdown':
        return process.exit(0)
      case 'cancel':
        return running.get(message.id)?.abort()
      case 'request':
        return void answer(message)
    }
  })

  async function answer({ id, method, parameters }: Extract<ToWorker, { type: 'request' }>): Promise<void> {
    const controller = new AbortController()
    running.set(id, controller)
    try {
      const handle = handlers[method] as (parameters: unknown, context: RequestContext) => Promise<unknown>
      const progress = (steps: DenoiseProgress[]): void => send({ type: 'progress', id, steps })
      const result = await handle(PARAMETERS[method].parse(parameters), { signal: controller.signal, progress })
      send({ type: 'result', id, result })
    } catch (error) {
      send({ type: 'error', id, error: toWireError(error) })
    } finally {
      running.delete(id)
    }
  }
}

function createHandlers(host: ModelHost, arena: ArenaView): Handlers {
  const models = new Map<string, BaseModel>()
  const keyOf = ({ path, options }: ModelReference): string => JSON.stringify([path, options])
  const modelOf = (reference: ModelReference): BaseModel => {
    const model = models.get(keyOf(reference))
    if (!model) throw new Error(`The model ${reference.path} is not loaded.`)
    return model
  }
  const tensor = (handle: TensorHandle): NativeTensor => {
    return { type: 'float32', dims: handle.dims, address: arena.addressOf(handle) }
  }

  return {
    async load({ model: reference }) {
      const model = await host.load(openCheckpoint(reference.path, reference.options))
      models.set(keyOf(reference), model)
      return { promptDims: promptDims(model.checkpoint) }
    },
    async unload({ model: { path } }) {
      for (const [key, { checkpoint }] of models) if (checkpoint.path === path) models.delete(key)
      await host.unload(path)
      return {}
    },
    encodePrompt({ model, tokens, clipSkip, hiddenStates, pooled }, { signal }) {
      const out = { hiddenStates: tensor(hiddenStates), ...(pooled && { pooled: tensor(pooled) }) }
      return modelOf(model).encodePrompt(tokens, clipSkip, out, { signal })
    },
    predictNoise({ model, sample, timestep, conditioning, out }, { signal }) {
      const { encoderHiddenStates, textEmbeds, timeIds } = conditioning
      const inputs = {
        sample: tensor(sample),
        timestep,
        encoderHiddenStates: tensor(encoderHiddenStates),
        ...(textEmbeds && { textEmbeds: tensor(textEmbeds) }),
        ...(timeIds && { timeIds: tensor(timeIds) }),
      }
      return modelOf(model).predictNoise(inputs, tensor(out), { signal })
    },
    async denoise({ model, plan, predictions, finished, latents }, { signal, progress }) {
      const stages = localStages(modelOf(model), signal)
      const predictionAt = rowsOf(arena, predictions)
      const latentsAt = rowsOf(arena, latents)
      const report = createStepReport(progress)
      await denoise(stages, readPlan(plan, arena), {
        signal,
        finished: Array.from({ length: finished }, (_, index) => predictionAt(index)),
        onStep({ index, total, timestep, sigma, elapsedMs, runtimeMs, ...step }) {
          predictionAt(index).set(step.modelOutput)
          latentsAt(index).set(step.latents)
          const known = Number.isFinite(sigma) ? sigma : null
          return report.add({ index, total, timestep, sigma: known, elapsedMs, runtimeMs })
        },
      })
      report.flush()
      return {}
    },
    decodeLatents: ({ model, latents, out }, { signal }) =>
      modelOf(model).decodeLatents(tensor(latents), tensor(out), signal),
    encodeImage: ({ model, image, out }, { signal }) => modelOf(model).encodeImage(tensor(image), tensor(out), signal),
  }
}

/** Each message wakes the daemon, which then competes for the cores: steps of a few milliseconds are told together. */
const REPORT_INTERVAL_MS = 40

/** Collects finished steps and sends them at intervals. */
function createStepReport(send: (steps: DenoiseProgress[]) => void) {
  let steps: DenoiseProgress[] = []
  let sentAt = -Infinity
  const flush = (): void => {
    if (steps.length > 0) send(steps)
    steps = []
    sentAt = performance.now()
  }
  return {
    flush,
    /** Waits, when it sends, for a turn of the event loop: short runs keep to this thread and let no cancellation in. */
    add(step: DenoiseProgress): Promise<void> | undefined {
      steps.push(step)
      if (performance.now() - sentAt < REPORT_INTERVAL_MS) return undefined
      flush()
      return nextTurn()
    },
  }
}

/** Errors go to `sent`, too: where the channel is closing there is nobody to tell. */
function send(message: FromWorker, sent: () => void = () => undefined): void {
  process.send?.(message, undefined, undefined, sent)
}
