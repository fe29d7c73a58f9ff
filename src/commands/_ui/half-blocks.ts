/** A picture of 8-bit red, green and blue, row by row. */
export interface Pixels {
  readonly width: number
  readonly height: number
  readonly rgb: Uint8Array
}

export type ColourDepth = 'truecolor' | '256'

/** What the terminal shows, by what it says in the environment. */
export function colourDepth({ COLORTERM = '', TERM = '' }: NodeJS.ProcessEnv = process.env): ColourDepth {
  return /truecolor|24bit/i.test(COLORTERM) || /kitty|ghostty|direct/.test(TERM) ? 'truecolor' : '256'
}

/**
 * A picture as lines of text: each cell is an upper half block, whose colour is one pixel and whose background is the
 * pixel below, since cells are about twice as high as they are wide. It is scaled to fit, and never enlarged.
 * @returns one string with escape sequences for each row of cells
 */
export function halfBlocks(picture: Pixels, maxColumns: number, maxRows: number, depth: ColourDepth): string[] {
  const scale = Math.max(picture.width / maxColumns, picture.height / (2 * maxRows), 1)
  const columns = Math.max(1, Math.floor(picture.width / scale))
  const pixelRows = Math.max(2, 2 * Math.floor(picture.height / scale / 2))
  const colourAt = (column: number, row: number): string => {
    const box = average(picture, [column / columns, (column + 1) / columns], [row / pixelRows, (row + 1) / pixelRows])
    return depth === 'truecolor' ? `2;${box.join(';')}` : `5;${nearest256(box)}`
  }
  return Array.from({ length: pixelRows / 2 }, (_, row) => {
    const cells = Array.from({ length: columns }, (__, column) => {
      return `\x1b[38;${colourAt(column, 2 * row)};48;${colourAt(column, 2 * row + 1)}m▀`
    })
    return `${cells.join('')}\x1b[0m`
  })
}

type Span = readonly [from: number, to: number]
type Colour = [red: number, green: number, blue: number]

/** The mean colour of a part of the picture, given in fractions. */
function average({ width, height, rgb }: Pixels, [left, right]: Span, [top, bottom]: Span): Colour {
  const [x0, x1] = pixelsOf(left, right, width)
  const [y0, y1] = pixelsOf(top, bottom, height)
  const sum: Colour = [0, 0, 0]
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      for (let colour = 0; colour < 3; colour++) sum[colour] += rgb[3 * (y * width + x) + colour]
    }
  }
  const count = (x1 - x0) * (y1 - y0)
  return [Math.round(sum[0] / count), Math.round(sum[1] / count), Math.round(sum[2] / count)]
}

/** At least one pixel. */
function pixelsOf(from: number, to: number, size: number): Span {
  const begin = Math.min(Math.floor(from * size), size - 1)
  return [begin, Math.max(begin + 1, Math.floor(to * size))]
}

/** The cube of 6 x 6 x 6 colours of xterm's palette. */
function nearest256([red, green, blue]: Colour): number {
  const step = (value: number): number => (value < 48 ? 0 : value < 115 ? 1 : Math.round((value - 35) / 40))
  return 16 + 36 * step(red) + 6 * step(green) + step(blue)
}
