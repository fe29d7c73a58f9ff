import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { plotSvg, type Plot } from '../../bench/plot.js'

const lines: Plot = {
  kind: 'lines',
  title: 'A & B',
  xLabel: 'step',
  yLabel: 'a < b',
  yMin: 0,
  yMax: 1,
  series: [
    { name: 'first', points: [{ x: 0, y: 1 }, { x: 20, y: 0, low: 0, high: 0.5 }] }, // prettier-ignore
    { name: 'second', points: [{ x: 0, y: 0.5 }, { x: 20, y: 0.5 }] }, // prettier-ignore
  ],
}

const bars: Plot = {
  kind: 'bars',
  title: 'Times',
  yLabel: 'ms',
  yMin: 0,
  yMax: 40,
  labels: ['cold', 'warm'],
  series: [{ name: 'load', values: [40, 10] }],
}

describe('plotSvg', () => {
  it('is a picture that a renderer accepts, one panel beside the other', async () => {
    const { width, height } = await sharp(Buffer.from(plotSvg([lines, bars]))).metadata()
    expect([width, height]).toEqual([860, 300])
  })

  it('puts the ends of the axis at the ends of the frame', () => {
    expect(plotSvg([lines])).toContain('<polyline points="58,34 414,232"')
    expect(plotSvg([lines])).toContain('<polyline points="58,133 414,133"')
  })

  it('draws bars as high as their values', () => {
    const heights = [...plotSvg([bars]).matchAll(/<rect [^>]*width="[^"]*" height="([\d.]+)"/g)].map(
      ([, value]) => value,
    )
    expect(heights.slice(0, 2)).toEqual(['198', '49.5'])
  })

  it('labels axes with round numbers', () => {
    const labels = [...plotSvg([bars]).matchAll(/text-anchor="end">([^<]*)</g)].map(([, value]) => value)
    expect(labels).toEqual(['0', '10', '20', '30', '40'])
  })

  it('escapes what is markup', () => {
    expect(plotSvg([lines])).toContain('A &amp; B')
    expect(plotSvg([lines])).toContain('a &lt; b')
  })
})
