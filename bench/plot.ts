/**
 * Plain plots as SVG. Text and lines are of a middle grey and the ground is transparent, so that they can be read on light
 * and on dark pages.
 */

/** A point of a line, with the spread that is drawn around it. */
export interface PlotPoint {
  readonly x: number
  readonly y: number
  readonly low?: number
  readonly high?: number
}

export interface LineSeries {
  readonly name: string
  readonly points: readonly PlotPoint[]
}

/** What both kinds of plots have. `yMin` and `yMax` are the values at the lower and the upper end of the axis. */
interface Axes {
  readonly title: string
  readonly yLabel: string
  readonly yMin: number
  readonly yMax: number
}

/** Lines over numbers, such as steps. */
export interface LinePlot extends Axes {
  readonly kind: 'lines'
  readonly xLabel: string
  readonly series: readonly LineSeries[]
}

/** Bars from the lower end of the axis, one group for each label, in it one bar for each series. */
export interface BarPlot extends Axes {
  readonly kind: 'bars'
  readonly labels: readonly string[]
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[]
}

export type Plot = LinePlot | BarPlot

const WIDTH = 430
const HEIGHT = 300
const FRAME = { left: 58, top: 34, right: 414, bottom: 232 }
const GREY = '#7d858d'
const COLOURS = ['#3b82d6', '#d9742b', '#2f9e5b', '#9a67c9', '#c74c5c']

/** Plots beside each other, as an SVG document. */
export function plotSvg(plots: readonly Plot[]): string {
  const panels = plots.map((plot, index) => `<g transform="translate(${index * WIDTH} 0)">\n${panel(plot)}\n</g>`)
  const size = `width="${plots.length * WIDTH}" height="${HEIGHT}" viewBox="0 0 ${plots.length * WIDTH} ${HEIGHT}"`
  const style = `font-family="system-ui, sans-serif" font-size="12" fill="${GREY}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${style}>\n${panels.join('\n')}\n</svg>\n`
}

function panel(plot: Plot): string {
  const middle = (FRAME.left + FRAME.right) / 2
  return [
    text(middle, 18, plot.title, 'middle', 'font-size="14"'),
    `<text transform="translate(14 ${(FRAME.top + FRAME.bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(plot.yLabel)}</text>`,
    ...yAxis(plot),
    ...(plot.kind === 'lines' ? lines(plot) : bars(plot)),
    ...legend(plot.series.map(({ name }) => name)),
  ].join('\n')
}

function yAxis(axes: Axes): string[] {
  return ticks(axes.yMin, axes.yMax).flatMap((value) => {
    const y = yAt(axes, value)
    const opacity = value === axes.yMin ? 0.9 : 0.25
    return [segment(FRAME.left, y, FRAME.right, y, opacity), text(FRAME.left - 6, y + 4, label(value), 'end')]
  })
}

function lines({ xLabel, series, ...axes }: LinePlot): string[] {
  const all = series.flatMap(({ points }) => points.map(({ x }) => x))
  const [min, max] = [Math.min(...all), Math.max(...all)]
  const xAt = (x: number): number => FRAME.left + ((x - min) / Math.max(max - min, 1e-9)) * (FRAME.right - FRAME.left)
  const at = (x: number, y: number): string => `${round(xAt(x))},${round(yAt(axes, y))}`
  return [
    ...ticks(min, max).map((x) => text(xAt(x), FRAME.bottom + 17, label(x), 'middle')),
    text((FRAME.left + FRAME.right) / 2, FRAME.bottom + 36, xLabel, 'middle'),
    ...series.flatMap(({ points }, index) => {
      const colour = COLOURS[index % COLOURS.length]
      const upper = points.map(({ x, y, high = y }) => at(x, high))
      const lower = points.map(({ x, y, low = y }) => at(x, low)).reverse()
      const line = points.map(({ x, y }) => at(x, y)).join(' ')
      return [
        `<polygon points="${[...upper, ...lower].join(' ')}" fill="${colour}" opacity="0.18"/>`,
        `<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ]
    }),
  ]
}

function bars({ labels, series, ...axes }: BarPlot): string[] {
  const group = (FRAME.right - FRAME.left) / labels.length
  const width = (0.8 * group) / series.length
  return labels.flatMap((name, position) => {
    const left = FRAME.left + position * group + 0.1 * group
    return [
      text(left + 0.4 * group, FRAME.bottom + 17, name, 'middle'),
      ...series.map(({ values }, index) => {
        const y = yAt(axes, values[position])
        const box = `x="${round(left + index * width)}" y="${round(y)}" width="${round(width - 1)}" height="${round(FRAME.bottom - y)}"`
        return `<rect ${box} fill="${COLOURS[index % COLOURS.length]}"/>`
      }),
    ]
  })
}

function legend(names: readonly string[]): string[] {
  const step = (FRAME.right - FRAME.left) / names.length
  return names.flatMap((name, index) => {
    const x = FRAME.left + index * step
    return [
      `<rect x="${round(x)}" y="${HEIGHT - 17}" width="14" height="4" fill="${COLOURS[index % COLOURS.length]}"/>`,
      text(x + 20, HEIGHT - 11, name, 'start'),
    ]
  })
}

/** Up to seven round numbers from `min` to `max`. */
function ticks(min: number, max: number): number[] {
  const rough = (max - min) / 6
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.ceil(min / step - 1e-9)
  const count = Math.floor(max / step + 1e-9) - first + 1
  return Array.from({ length: count }, (_, index) => Number(((first + index) * step).toPrecision(12)))
}

function yAt({ yMin, yMax }: Pick<Axes, 'yMin' | 'yMax'>, value: number): number {
  const share = (Math.min(Math.max(value, yMin), yMax) - yMin) / (yMax - yMin)
  return FRAME.bottom - share * (FRAME.bottom - FRAME.top)
}

function segment(x1: number, y1: number, x2: number, y2: number, opacity: number): string {
  const ends = `x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"`
  return `<line ${ends} stroke="${GREY}" opacity="${opacity}"/>`
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', more = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${more && ` ${more}`}>${escape(content)}</text>`
}

function label(value: number): string {
  return String(Number(value.toPrecision(6)))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escape(content: string): string {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;')
}
