import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CONTROL_GRAMMAR, parseControlArgument } from './control-argument.js'

describe('--control', () => {
  it.each([
    ['canny=edges.png', 'edges.png', {}],
    ['canny=edges.png:0.8', 'edges.png', { scale: 0.8 }],
    ['canny=edges.png:0.8:0-0.6', 'edges.png', { scale: 0.8, start: 0, end: 0.6 }],
    ['canny=edges.png:0.2-', 'edges.png', { start: 0.2, end: 1 }],
    ['canny=edges.png:-0.5:1.5', 'edges.png', { start: 0, end: 0.5, scale: 1.5 }],
    [
      'canny=photo.jpg:pre=canny:low=50:high=150:mode=prompt:resize=crop',
      'photo.jpg',
      {
        ...{ preprocessor: 'canny', lowThreshold: 50, highThreshold: 150 },
        ...{ controlMode: 'prompt', resizeMode: 'crop-and-resize' },
      },
    ],
    ['canny=a.png:guess=yes:weights=1,-0.5', 'a.png', { guessMode: true, residualWeights: [1, -0.5] }],
    ['canny=a.png:resize=resize-and-fill', 'a.png', { resizeMode: 'resize-and-fill' }],
    ['canny=C:out/a=b.png:2', 'C:out/a=b.png', { scale: 2 }],
    ['canny=2:2', '2', { scale: 2 }],
  ])('reads %s', (text, file, settings) => {
    expect(parseControlArgument(text)).toEqual({ file, settings: { controlNet: 'canny', ...settings } })
  })

  it('takes a path for the ControlNet', () => {
    expect(parseControlArgument('./nets/canny=a.png').settings.controlNet).toBe(resolve('nets/canny'))
  })

  it.each([
    ['canny', 'names no picture'],
    ['canny=', 'names no picture'],
    ['=a.png', 'names no ControlNet'],
    ['canny=a.png:11', 'has the scale "11", which must be a number from 0 to 10'],
    ['canny=a.png:', 'has the scale "", which must be a number from 0 to 10'],
    ['canny=a.png:0-2', 'has the end "2", which must be a number from 0 to 1'],
    ['canny=a.png:0.6-0.5', 'begins at 0.6, after its end at 0.5'],
    ['canny=a.png:1:2', 'says twice what its scale is (again by "2")'],
    ['canny=a.png:pre=sobel', 'has the pre "sobel", which must be one of none, canny, invert'],
    ['canny=a.png:resize=big', 'has the resize "big", which must be just, crop or fill'],
    [
      'canny=a.png:power=2',
      'has the unknown key "power"; known are scale, start, end, pre, low, high, mode, resize, guess, weights',
    ],
  ])('refuses %j', (text, what) => {
    expect(() => parseControlArgument(text)).toThrow(`--control "${text}" ${what}; write ${CONTROL_GRAMMAR}.`)
  })
})
