import { describe, expect, it } from 'vitest'
import { fullModelName, isModelPath, matchModelName, nameFromPath, shortModelName } from './names.js'

describe('model names', () => {
  it('have the tag latest unless they say another', () => {
    expect(fullModelName('fox')).toBe('fox:latest')
    expect(fullModelName('fox:v1.5')).toBe('fox:v1.5')
    expect(shortModelName('fox:latest')).toBe('fox')
    expect(shortModelName('fox:v1.5')).toBe('fox:v1.5')
  })

  it.each(['', 'Fox', '-fox', 'a b', 'fox:', 'a:b:c', '../fox', 'fox.safetensors', 'x'.repeat(81), 'fox@v1'])(
    'cannot be "%s"',
    (name) => {
      expect(() => fullModelName(name)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
    },
  )

  it('suggest a valid name for an impossible one', () => {
    expect(() => fullModelName('My Fox')).toThrow(/"my-fox" would do/)
  })

  it.each([
    ['/models/DreamShaper_8.safetensors', 'dreamshaper_8'],
    ['/models/Realistic Vision (v6.0)', 'realistic-vision-v6.0'],
    ['stabilityai/sdxl-turbo', 'sdxl-turbo'],
    ['/models/日本', 'model'],
  ])('follow from the path %s', (path, name) => {
    expect(nameFromPath(path)).toBe(name)
    expect(fullModelName(name)).toBe(`${name}:latest`)
  })

  it('are told from paths', () => {
    expect(['./fox', '/a/fox', 'a/fox', 'fox.safetensors', 'fox.CKPT'].every(isModelPath)).toBe(true)
    expect(['fox', 'fox:v1', 'sd1.5'].some(isModelPath)).toBe(false)
  })
})

describe('looking a name up', () => {
  const names = ['fox:latest', 'fox:v2', 'foxglove:latest', 'owl:v1']

  it('prefers the name that is spelled out, with or without its tag', () => {
    expect(matchModelName('fox', names)).toEqual(['fox:latest'])
    expect(matchModelName('fox:v2', names)).toEqual(['fox:v2'])
    expect(matchModelName('FOX', names)).toEqual(['fox:latest'])
  })

  it('accepts a beginning, and gives all that it may mean', () => {
    expect(matchModelName('ow', names)).toEqual(['owl:v1'])
    expect(matchModelName('owl', names)).toEqual(['owl:v1'])
    expect(matchModelName('fo', names)).toEqual(['fox:latest', 'fox:v2', 'foxglove:latest'])
  })

  it('finds nothing for other names and for an empty one', () => {
    expect(matchModelName('wolf', names)).toEqual([])
    expect(matchModelName('', names)).toEqual([])
  })
})
