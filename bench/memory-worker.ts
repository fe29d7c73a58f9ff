/**
 * A process like a worker, for measuring its memory: loads a checkpoint with one thread and uses all its networks, so that
 * every page of the weights is mapped. Arguments: the checkpoint and the engine's cache directory.
 */
import { allocateTensor } from '../src/engine/pipeline/local-tensor.js'
import { openModelHost } from '../src/engine/networks/model-host.js'
import { promptDims } from '../src/engine/networks/base-model.js'
import { openCheckpoint } from '../src/engine/weights/checkpoint.js'
import { allocatePass } from './bare-unet.js'

/** 64x64 pixels. */
const LATENT_SIZE = 8

const [path, cacheDirectory] = process.argv.slice(2) as [string, string]
const host = openModelHost({ threads: 1, cacheDirectory })
const model = await host.load(openCheckpoint(path))
const { checkpoint } = model

const { hiddenStates, pooled } = promptDims(checkpoint)
const tokens = checkpoint.textEncoders.map(({ config }) => Array<number>(config.max_position_embeddings).fill(0))
await model.encodePrompt(tokens, undefined, {
  hiddenStates: allocateTensor(hiddenStates).native,
  ...(pooled && { pooled: allocateTensor(pooled).native }),
})
const { inputs, noise } = allocatePass(checkpoint, 1, LATENT_SIZE)
await model.predictNoise(inputs, noise)
const side = LATENT_SIZE * checkpoint.vaeScale
await model.decodeLatents(noise, allocateTensor([1, 3, side, side]).native)

process.send?.('ready')
// The channel keeps the process alive; when the bench is gone, so is this.
process.once('disconnect', () => process.exit())
