import type { TrunkConfig } from '../weights/config.js'

/** Shape of one skip: its channels, and how many times height and width were halved (rounding up). */
export interface SkipShape {
  readonly channels: number
  readonly halvings: number
}

/** The tensors that the encoder hands to the decoder. */
export interface TrunkShapes {
  readonly skips: readonly SkipShape[]
  readonly mid: SkipShape
  /** Width of the time embedding. */
  readonly timeWidth: number
}

/** What a trunk's encoder hands over, from the config alone. */
export function trunkShapes(config: TrunkConfig): TrunkShapes {
  const widths = config.block_out_channels
  const skips: SkipShape[] = [{ channels: widths[0], halvings: 0 }]
  widths.forEach((channels, block) => {
    const layers = config.layers_per_block[block]
    for (let layer = 0; layer < layers; layer++) skips.push({ channels, halvings: block })
    if (block < widths.length - 1) skips.push({ channels, halvings: block + 1 })
  })
  const mid = { channels: widths[widths.length - 1], halvings: widths.length - 1 }
  return { skips, mid, timeWidth: 4 * widths[0] }
}

/** The shapes of the residuals of a pass on latents (B, C, h, w): those of the skips, then the mid block's. */
export function residualDims({ skips, mid }: TrunkShapes, [batch, , height, width]: readonly number[]): number[][] {
  const halved = (size: number, halvings: number): number =>
    halvings === 0 ? size : halved(Math.ceil(size / 2), halvings - 1)
  const dimsOf = ({ channels, halvings }: SkipShape): number[] => {
    return [batch, channels, halved(height, halvings), halved(width, halvings)]
  }
  return [...skips, mid].map(dimsOf)
}
