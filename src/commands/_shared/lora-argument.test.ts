import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseLoraArgument } from './lora-argument.js'

describe('--lora', () => {
  it.each([
    ['stripes', { name: 'stripes' }],
    ['stripes:0.8', { name: 'stripes', scale: 0.8 }],
    ['stripes:-.5', { name: 'stripes', scale: -0.5 }],
    ['stripes:v2', { name: 'stripes:v2' }],
    ['stripes:v2:0.8', { name: 'stripes:v2', scale: 0.8 }],
    ['stripes@te=0.5', { name: 'stripes', textEncoderScale: 0.5 }],
    ['stripes:0.8@te=0', { name: 'stripes', scale: 0.8, textEncoderScale: 0 }],
    ['stripes@unet=0.3,te=1', { name: 'stripes', scale: 0.3, textEncoderScale: 1 }],
    ['./a.safetensors:0.8', { name: resolve('a.safetensors'), scale: 0.8 }],
    ['a@b.safetensors@te=1', { name: resolve('a@b.safetensors'), textEncoderScale: 1 }],
    ['/loras/a:1/b.safetensors', { name: '/loras/a:1/b.safetensors' }],
  ])('reads %s', (text, expected) => {
    expect(parseLoraArgument(text)).toEqual(expected)
  })

  it.each([
    ['', 'has no name'],
    [':0.8', 'has no name'],
    ['stripes:', 'has the scale "", which must be a number from -10 to 10'],
    ['stripes:11', 'has the scale "11", which must be a number from -10 to 10'],
    ['stripes@te=much', 'has the te "much", which must be a number from -10 to 10'],
    ['stripes@te=1,dyn=4', 'has "dyn=4" behind the @, where te=SCALE and unet=SCALE are known'],
    ['stripes@te=1,te=2', 'has te= twice'],
    ['stripes:1@unet=2', 'has two scales for the UNet'],
  ])('refuses %j', (text, what) => {
    expect(() => parseLoraArgument(text)).toThrow(`--lora "${text}" ${what}; write NAME[:SCALE][@te=SCALE].`)
  })
})
