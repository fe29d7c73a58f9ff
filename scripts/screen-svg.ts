import type { IBufferCell, Terminal } from '@xterm/headless'

/** A screen at one moment: each line as SVG, without its place. */
export interface Frame {
  /** Milliseconds since the begin. */
  readonly at: number
  readonly lines: readonly string[]
}

const FONT_PX = 14
const CELL = { width: 8.4, height: 17 }
const MARGIN = 14
const FOREGROUND = '#d8dee9'
const BACKGROUND = '#1b1f27'
/** xterm's first eight colours and their bright forms, in the hues of the background. */
const PALETTE = [
  ...['#3b4252', '#e06c75', '#8fbf7f', '#e5c07b', '#61afef', '#c678dd', '#56b6c2', '#abb2bf'],
  ...['#5c6370', '#ef7d86', '#a5d296', '#f0d399', '#79bff5', '#d794e8', '#6fcad5', '#eceff4'],
]

/** The visible screen of a terminal. */
export function captureFrame(terminal: Terminal, at: number): Frame {
  const { active } = terminal.buffer
  const lines = Array.from({ length: terminal.rows }, (_, row) => {
    const line = active.getLine(active.viewportY + row)
    const cells = Array.from({ length: terminal.cols }, (__, column) => line?.getCell(column))
    return drawLine(cells.map((cell) => ({ text: cell?.getChars() || ' ', ...coloursOf(cell) })))
  })
  return { at, lines }
}

interface Cell {
  readonly text: string
  readonly colour: string
  readonly background?: string
}

function coloursOf(cell: IBufferCell | undefined): Omit<Cell, 'text'> {
  if (!cell) return { colour: FOREGROUND }
  const foreground = cell.isFgDefault() ? FOREGROUND : toHex(cell.getFgColor(), Boolean(cell.isFgRGB()))
  const background = cell.isBgDefault() ? undefined : toHex(cell.getBgColor(), Boolean(cell.isBgRGB()))
  return { colour: cell.isDim() ? '#7f8796' : foreground, ...(background && { background }) }
}

function toHex(value: number, isRgb: boolean): string {
  if (isRgb) return `#${value.toString(16).padStart(6, '0')}`
  if (value < 16) return PALETTE[value]
  if (value >= 232) return `#${(8 + 10 * (value - 232)).toString(16).padStart(2, '0').repeat(3)}`
  const level = (digit: number): string => (digit === 0 ? 0 : 55 + 40 * digit).toString(16).padStart(2, '0')
  const cube = value - 16
  return `#${level(Math.floor(cube / 36))}${level(Math.floor(cube / 6) % 6)}${level(cube % 6)}`
}

/** Cells of one look become one piece. Half blocks are drawn as rectangles: fonts leave gaps between them. */
function drawLine(cells: readonly Cell[]): string {
  let svg = ''
  for (let begin = 0; begin < cells.length;) {
    const { colour, background, text } = cells[begin]
    const block = text === '▀'
    let end = begin + 1
    while (end < cells.length && sameLook(cells[end], cells[begin])) end++
    const x = begin * CELL.width
    const width = (end - begin) * CELL.width
    if (background !== undefined) svg += rectangle(x, 0, width, CELL.height, background)
    const words = cells.slice(begin, end).map((cell) => cell.text)
    if (block) svg += rectangle(x, 0, width, CELL.height / 2, colour)
    else if (words.join('').trim() !== '') {
      const length = round(width)
      const attributes = `x="${round(x)}" y="13" fill="${colour}" textLength="${length}" lengthAdjust="spacingAndGlyphs"`
      svg += `<text ${attributes}>${escape(words.join(''))}</text>`
    }
    begin = end
  }
  return svg
}

function sameLook(a: Cell, b: Cell): boolean {
  return a.colour === b.colour && a.background === b.background && (a.text === '▀') === (b.text === '▀')
}

function rectangle(x: number, y: number, width: number, height: number, fill: string): string {
  // A little larger, so that no seam shows between neighbours.
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width + 0.3)}" height="${round(height + 0.3)}" fill="${fill}"/>`
}

/** An endless film of the frames. Each distinct line is in the file once. */
export function filmOf(frames: readonly Frame[], columns: number, rows: number, restMs: number): string {
  const [width, height] = [columns * CELL.width + 2 * MARGIN, rows * CELL.height + 2 * MARGIN]
  const duration = frames[frames.length - 1].at + restMs
  const ids = new Map<string, string>()
  const idOf = (line: string): string => {
    const id = ids.get(line) ?? `l${ids.size}`
    ids.set(line, id)
    return id
  }
  const groups = frames.map(({ at, lines }, index) => {
    const until = frames[index + 1]?.at ?? duration
    const uses = lines.map((line, row) =>
      line === '' ? '' : `<use href="#${idOf(line)}" y="${round(row * CELL.height)}"/>`,
    )
    return `<g visibility="hidden">${appearance(at / duration, until / duration, duration)}${uses.join('')}</g>`
  })
  const lines = [...ids].map(([line, id]) => `<g id="${id}">${line}</g>`)
  const font = `font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="${FONT_PX}"`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${round(width)} ${round(height)}" ${font} xml:space="preserve">`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/><defs>${lines.join('\n')}</defs>`,
    `<g transform="translate(${MARGIN} ${MARGIN})">${groups.join('\n')}</g></svg>\n`,
  ].join('\n')
}

function appearance(from: number, until: number, duration: number): string {
  const begin = from === 0 ? ['visible'] : ['hidden', 'visible']
  const values = [...begin, ...(until < 1 ? ['hidden'] : [])].join(';')
  const times = [...(from === 0 ? [0] : [0, from]), ...(until < 1 ? [until] : [])]
    .map((time) => time.toFixed(5))
    .join(';')
  const clock = `dur="${round(duration / 1000)}s" repeatCount="indefinite" calcMode="discrete"`
  return `<animate attributeName="visibility" values="${values}" keyTimes="${times}" ${clock}/>`
}

function round(value: number): string {
  return String(Math.round(100 * value) / 100)
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
