/**
 * How token weights act on the text encoder's output (stable-diffusion-webui's modules/sd_emphasis.py): each token's
 * vector is multiplied by its weight; `original` then scales the whole chunk so that its mean is what it was, `no-norm`
 * does not.
 */
export type Emphasis = 'original' | 'no-norm'

/** One encoded chunk of a prompt. */
export interface WeightedStates {
  /** (S, C): the hidden states of all encoders, joined along C. */
  readonly states: Float32Array
  /** S weights for each encoder, which tokenise on their own. */
  readonly weights: readonly (readonly number[])[]
  /** How often the chunk is in the batch over which the mean is taken. */
  readonly count: number
}

/**
 * Applies the weights to chunks that the reference encodes as one batch: the same chunk of all texts of a schedule, which
 * share their mean. Each encoder's channels have a mean of their own.
 * @param widths how many of the C channels are each encoder's
 * @returns the weighted states of each chunk; the given ones where all weights are 1
 */
export function applyEmphasis(
  chunks: readonly WeightedStates[],
  widths: readonly number[],
  emphasis: Emphasis,
): Float32Array[] {
  if (chunks.every(({ weights }) => weights.every((each) => each.every((weight) => weight === 1)))) {
    return chunks.map(({ states }) => states)
  }
  const weighted = chunks.map((chunk) => multiply(chunk, widths))
  if (emphasis === 'original') {
    forEachEncoder(widths, (begin, end, channels) => {
      let before = 0
      let after = 0
      chunks.forEach(({ states, count }, index) => {
        before += count * sumOfChannels(states, begin, end, channels)
        after += count * sumOfChannels(weighted[index] ?? states, begin, end, channels)
      })
      const factor = Math.fround(before / after)
      // A mean of exactly 0 cannot be brought back.
      if (Number.isFinite(factor)) for (const states of weighted) scaleChannels(states, begin, end, channels, factor)
    })
  }
  return weighted
}

function multiply({ states, weights }: WeightedStates, widths: readonly number[]): Float32Array {
  const weighted = states.slice()
  forEachEncoder(widths, (begin, end, channels, encoder) => {
    weights[encoder]?.forEach((weight, token) => {
      const row = token * channels
      for (let i = row + begin; i < row + end; i++) weighted[i] = (weighted[i] ?? 0) * weight
    })
  })
  return weighted
}

/** Calls with the range of channels of each encoder. */
function forEachEncoder(
  widths: readonly number[],
  visit: (begin: number, end: number, channels: number, encoder: number) => void,
): void {
  const channels = widths.reduce((sum, width) => sum + width, 0)
  let begin = 0
  widths.forEach((width, encoder) => {
    visit(begin, begin + width, channels, encoder)
    begin += width
  })
}

function sumOfChannels(states: Float32Array, begin: number, end: number, channels: number): number {
  let sum = 0
  for (let row = 0; row < states.length; row += channels) {
    for (let i = row + begin; i < row + end; i++) sum += states[i] ?? 0
  }
  return sum
}

function scaleChannels(states: Float32Array, begin: number, end: number, channels: number, factor: number): void {
  for (let row = 0; row < states.length; row += channels) {
    for (let i = row + begin; i < row + end; i++) states[i] = (states[i] ?? 0) * factor
  }
}
