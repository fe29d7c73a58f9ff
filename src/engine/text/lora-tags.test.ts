import { describe, expect, it } from 'vitest'
import { extractLoraTags } from './lora-tags.js'

describe('extractLoraTags', () => {
  it.each([
    ['<lora:a>', { name: 'a', textEncoderScale: 1, unetScale: 1 }],
    ['<lora:a:0.8>', { name: 'a', textEncoderScale: 0.8, unetScale: 0.8 }],
    ['<lora:a:0.8:0.5>', { name: 'a', textEncoderScale: 0.8, unetScale: 0.5 }],
    ['<lora:a:0.8:0.5:16>', { name: 'a', textEncoderScale: 0.8, unetScale: 0.5, rank: 16 }],
    ['<lora:a:te=0.2>', { name: 'a', textEncoderScale: 0.2, unetScale: 0.2 }],
    ['<lora:a:unet=0.3>', { name: 'a', textEncoderScale: 1, unetScale: 0.3 }],
    ['<lora:a:0.8:unet=-1:dyn=4>', { name: 'a', textEncoderScale: 0.8, unetScale: -1, rank: 4 }],
    ['<lyco:a b:0>', { name: 'a b', textEncoderScale: 0, unetScale: 0 }],
  ])('reads %s', (tag, expected) => {
    expect(extractLoraTags(tag)).toEqual({ prompt: '', loras: [{ ...expected, tag }] })
  })

  it('takes tags out of the prompt in their order and leaves the rest', () => {
    const { prompt, loras } = extractLoraTags('a <lora:x:1> (b:1.2)<lora:y>, c')
    expect(prompt).toBe('a  (b:1.2), c')
    expect(loras.map(({ name }) => name)).toEqual(['x', 'y'])
  })

  it.each(['<lora:a:much>', '<lora::1>', '<lora:a:te=>', '<other:a:1>', '<lora:a', 'a < b > c'])(
    'leaves %j in the prompt',
    (prompt) => {
      expect(extractLoraTags(prompt)).toEqual({ prompt, loras: [] })
    },
  )
})
