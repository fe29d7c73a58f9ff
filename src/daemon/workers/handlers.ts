import { statSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AdapterCache, CachedAdapters } from '../../engine/networks/adapter-cache.js'
import type { BaseModel } from '../../engine/networks/base-model.js'
import { denoise } from '../../engine/pipeline/denoise.js'
import { readPlan, rowsOf } from './denoise-message.js'
import { measurePass } from './measure-pass.js'
import type { DenoiseProgress, Method, Parameters, Resident, Result } from './messages.js'
import { measureMessage } from './passes/measure-message.js'
import type { PeerServer } from './passes/peer-server.js'
import { openPlacedStages } from './passes/placed-stages.js'
import type { ArenaView } from './tensor-arena.js'
import type { WorkerState } from './worker-state.js'

/** What a handler may use besides its parameters. */
export interface RequestContext {
  readonly signal: AbortSignal
  readonly progress: (steps: DenoiseProgress[]) => void
}

export type Handlers = {
  readonly [M in Method]: (parameters: Parameters<M>, context: RequestContext) => Promise<Result<M>>
}

/** What a worker does for each request of the daemon. */
export function createHandlers(state: WorkerState, arena: ArenaView, peers: Pick<PeerServer, 'settle'>): Handlers {
  const { host, tensor } = state
  return {
    load: ({ model }) => state.load(model),
    async unload({ model: { path } }) {
      await state.unload(path)
      return {}
    },
    async encodePrompt({ model: reference, tokens, clipSkip, adapters, hiddenStates, pooled }, { signal }) {
      const out = { hiddenStates: tensor(hiddenStates), ...(pooled && { pooled: tensor(pooled) }) }
      const model = state.modelOf(reference)
      if (!adapters) return model.encodePrompt(tokens, clipSkip, out, { signal })
      const lease = await host.adapters.acquire(model, adapters)
      try {
        return await model.encodePrompt(tokens, clipSkip, out, { signal, adapters: lease.value.textEncoders })
      } finally {
        lease.end()
      }
    },
    async prepareControlNet({ path, base, picture, pinned }) {
      const began = performance.now()
      const reference = state.controlNetReference(path, base)
      const cached = host.controlNets.has(reference)
      const lease = await host.controlNets.acquire(reference)
      try {
        if (pinned !== undefined) host.controlNets.pin(reference, pinned)
        if (picture) (await lease.value.conditioningOf(picture.pictureKey, tensor(picture.picture))).end()
        return { cached, byteLength: lease.value.byteLength, elapsedMs: performance.now() - began }
      } finally {
        lease.end()
      }
    },
    prepareAdapters: ({ model, adapters, whole }) =>
      prepareAdapters(host.adapters, state.modelOf(model), adapters, whole),
    async settle() {
      await peers.settle()
      await host.adapters.trim()
      await host.controlNets.trim()
      return {}
    },
    residents: async () => ({ residents: await listResidents(state) }),
    measure: (parameters, { signal }) => measurePass(state, parameters, signal),
    measureMessage: async ({ peer }, { signal }) => ({ messageMs: await measureMessage(state, peer, signal) }),
    denoise: (parameters, context) => runDenoise(state, arena, parameters, context),
    decodeLatents: ({ model, latents, out }, { signal }) =>
      state.modelOf(model).decodeLatents(tensor(latents), tensor(out), signal),
    encodeImage: ({ model, image, out }, { signal }) =>
      state.modelOf(model).encodeImage(tensor(image), tensor(out), signal),
  }
}

async function prepareAdapters(
  cache: AdapterCache,
  model: BaseModel,
  descriptions: Parameters<'prepareAdapters'>['adapters'],
  whole: boolean,
): Promise<Result<'prepareAdapters'>> {
  const began = performance.now()
  const before = new Set<CachedAdapters>(cache.entries().map(({ value }) => value))
  const lease = await cache.acquire(model, descriptions)
  try {
    lease.value.begin()
    if (whole) await lease.value.whole()
    const { unmatched, byteLength, runtimeMs } = lease.value
    return {
      ...{ cached: before.has(lease.value), byteLength, runtimeMs },
      unmatched: [...unmatched].flatMap(([path, layers]) => (layers.length > 0 ? [{ path, layers: [...layers] }] : [])),
      elapsedMs: performance.now() - began,
    }
  } finally {
    lease.end()
  }
}

async function runDenoise(
  state: WorkerState,
  arena: ArenaView,
  { model, plan, parts, sample, prediction, predictions, finished, latents }: Parameters<'denoise'>,
  { signal, progress }: RequestContext,
): Promise<Result<'denoise'>> {
  const predictionAt = rowsOf(arena, predictions)
  const latentsAt = rowsOf(arena, latents)
  const report = createStepReport(progress)
  const read = readPlan(plan, arena)
  const { conditionings } = read
  const stages = await openPlacedStages(state, { model, plan, conditionings, parts, sample, prediction, signal })
  try {
    await denoise(stages, read, {
      signal,
      finished: Array.from({ length: finished }, (_, index) => predictionAt(index)),
      onStep({ index, total, timestep, sigma, elapsedMs, runtimeMs, adapted, devices, ...step }) {
        predictionAt(index).set(step.modelOutput)
        latentsAt(index).set(step.latents)
        const known = Number.isFinite(sigma) ? sigma : null
        const timing = { elapsedMs, runtimeMs, adapted, ...(devices && { devices: [...devices] }) }
        return report.add({ index, total, timestep, sigma: known, ...timing })
      },
    })
    report.flush()
    return {}
  } finally {
    await stages.close()
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

async function listResidents({ host, lastUseOf }: WorkerState): Promise<Resident[]> {
  const models = (await host.models()).map(({ checkpoint }): Resident => {
    const files = [...checkpoint.textEncoders, checkpoint.unet, checkpoint.vae].map(({ weightsPath }) => weightsPath)
    const byteLength = [...new Set(files)].reduce(
      (sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0),
      0,
    )
    return {
      kind: 'model',
      path: checkpoint.path,
      byteLength,
      uses: 0,
      pinned: false,
      lastUsed: lastUseOf(checkpoint.path),
    }
  })
  const controlNets = host.controlNets.entries().map(({ value, uses, pinned, lastUsed }): Resident => {
    return { kind: 'controlnet', path: value.path, byteLength: value.byteLength, uses, pinned, lastUsed }
  })
  const overlays = host.adapters.entries().map(({ value, uses, pinned, lastUsed }): Resident => {
    const parts = value.descriptions.map(({ path, scale }) => ({ path, scale }))
    return {
      kind: 'lora',
      path: parts[0].path,
      parts,
      model: value.model,
      byteLength: value.byteLength,
      uses,
      pinned,
      lastUsed,
    }
  })
  return [...models, ...controlNets, ...overlays]
}
