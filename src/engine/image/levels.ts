/** Levels and colours of 8-bit pictures, whatever their number of channels. */

/** How many different colours a picture has, counted up to `limit`. */
export function countColours(data: Uint8Array, channels: number, limit: number): number {
  const colours = new Set<number>()
  for (let at = 0; at < data.length && colours.size < limit; at += channels) {
    let colour = 0
    for (let channel = 0; channel < channels; channel++) colour = colour * 256 + data[at + channel]
    colours.add(colour)
  }
  return colours.size
}

/** Whether the only levels are about black and about white, and both occur: an edge map, a scribble, a mask. */
export function isBlackAndWhite(data: Uint8Array): boolean {
  let black = false
  let white = false
  for (const level of data) {
    if (level < 16) black = true
    else if (level > 240) white = true
    else return false
  }
  return black && white
}

/** The level that divides a picture's levels into two classes of the least variance (Otsu 1979). Above it is bright. */
export function otsuThreshold(data: Uint8Array): number {
  const histogram = new Array<number>(256).fill(0)
  for (const level of data) histogram[level]++
  const total = histogram.reduce((sum, count, level) => sum + count * level, 0)
  let best = { threshold: 0, between: -1 }
  let dark = 0
  let darkSum = 0
  for (let threshold = 0; threshold < 255; threshold++) {
    dark += histogram[threshold]
    darkSum += histogram[threshold] * threshold
    const bright = data.length - dark
    if (dark === 0 || bright === 0) continue
    const between = dark * bright * (darkSum / dark - (total - darkSum) / bright) ** 2
    if (between > best.between) best = { threshold, between }
  }
  return best.threshold
}

/** The median colour of a picture's outermost rows and columns; halves are cut off, as numpy's cast does. */
export function medianOfBorder(data: Uint8Array, width: number, height: number, channels: number): number[] {
  const pixels: number[] = []
  for (let x = 0; x < width; x++) pixels.push(x, (height - 1) * width + x)
  for (let y = 0; y < height; y++) pixels.push(y * width, y * width + width - 1)
  return Array.from({ length: channels }, (_, channel) => {
    const levels = Uint8Array.from(pixels, (pixel) => data[pixel * channels + channel]).sort()
    const middle = levels.length / 2
    return Math.floor((levels[Math.ceil(middle) - 1] + levels[Math.floor(middle)]) / 2)
  })
}
