import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CachedAdapters } from '../../engine/networks/adapter-cache.js'
import { denoise } from '../../engine/pipeline/denoise.js'
import { readPlan, rowsOf } from './denoise-message.js'
import { measurePass } from './measure-pass.js'
import { listResidents } from './list-residents.js'
import type { DenoiseProgress, Method, Parameters, Result } from './messages.js'
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
    load: ({ model, job, work }) => state.load(model, { job, work }),
    async unload({ model: { path } }) {
      await state.unload(path)
      return {}
    },
    encodePrompt: (parameters, { signal }) => encodePrompt(state, parameters, signal),
    prepareControlNet: (parameters) => prepareControlNet(state, parameters),
    prepareAdapters: (parameters) => prepareAdapters(state, parameters),
    async settle({ job }) {
      await peers.settle()
      if (job !== undefined) state.settle(job)
      await host.adapters.trim()
      await host.controlNets.trim()
      return {}
    },
    residents: () => Promise.resolve(listResidents(host)),
    measure: (parameters, { signal }) => measurePass(state, parameters, signal),
    measureMessage: async ({ peer }, { signal }) => ({ messageMs: await measureMessage(state, peer, signal) }),
    denoise: (parameters, context) => runDenoise(state, arena, parameters, context),
    decodeLatents: ({ model, latents, out }, { signal }) =>
      state.withModel(model, async (loaded) => {
        await host.prepare(loaded.checkpoint, { decode: latents.dims })
        return loaded.decodeLatents(tensor(latents), tensor(out), signal)
      }),
    encodeImage: ({ model, image, out }, { signal }) =>
      state.withModel(model, async (loaded) => {
        await host.prepare(loaded.checkpoint, { encode: image.dims })
        return loaded.encodeImage(tensor(image), tensor(out), signal)
      }),
  }
}

function encodePrompt(
  state: WorkerState,
  { model: reference, tokens, clipSkip, adapters, hiddenStates, pooled }: Parameters<'encodePrompt'>,
  signal: AbortSignal,
): Promise<Result<'encodePrompt'>> {
  const { host, tensor } = state
  const out = { hiddenStates: tensor(hiddenStates), ...(pooled && { pooled: tensor(pooled) }) }
  return state.withModel(reference, async (model) => {
    if (!adapters) return model.encodePrompt(tokens, clipSkip, out, { signal })
    const lease = await host.adapters.acquire(model, adapters)
    try {
      return await model.encodePrompt(tokens, clipSkip, out, { signal, adapters: lease.value.textEncoders })
    } finally {
      lease.end()
    }
  })
}

async function prepareControlNet(
  state: WorkerState,
  { path, base, picture, pinned, job, pass }: Parameters<'prepareControlNet'>,
): Promise<Result<'prepareControlNet'>> {
  const began = performance.now()
  const { controlNets } = state.host
  const reference = state.controlNetReference(path, base)
  const cached = controlNets.has(reference)
  const lease = await controlNets.acquire(reference)
  try {
    if (pinned !== undefined) controlNets.pin(reference, pinned)
    await controlNets.prepare(reference, { ...(pass && { pass }), ...(picture && { picture: picture.picture.dims }) })
    if (picture) (await lease.value.conditioningOf(picture.pictureKey, state.tensor(picture.picture))).end()
    return { cached, byteLength: lease.value.byteLength, elapsedMs: performance.now() - began }
  } finally {
    state.hold(job, lease)
  }
}

function prepareAdapters(
  state: WorkerState,
  { model: reference, adapters, whole, job }: Parameters<'prepareAdapters'>,
): Promise<Result<'prepareAdapters'>> {
  const began = performance.now()
  const { adapters: cache } = state.host
  return state.withModel(reference, async (model) => {
    const before = new Set<CachedAdapters>(cache.entries().map(({ value }) => value))
    const lease = await cache.acquire(model, adapters)
    try {
      lease.value.begin()
      if (whole) await lease.value.whole()
      const { unmatched, byteLength, runtimeMs } = lease.value
      const partly = [...unmatched].filter(([, layers]) => layers.length > 0)
      return {
        ...{ cached: before.has(lease.value), byteLength, runtimeMs },
        unmatched: partly.map(([path, layers]) => ({ path, layers: [...layers] })),
        elapsedMs: performance.now() - began,
      }
    } finally {
      state.hold(job, lease)
    }
  })
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
