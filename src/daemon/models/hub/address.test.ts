import { describe, expect, it } from 'vitest'
import { isSafePath, parseHubAddress } from './address.js'

describe('hub addresses', () => {
  it.each([
    ['me/fox', { repository: 'me/fox', revision: 'main' }],
    ['me/fox@refs/pr/1', { repository: 'me/fox', revision: 'refs/pr/1' }],
    ['me/fox/a/b.safetensors@v2', { repository: 'me/fox', revision: 'v2', file: 'a/b.safetensors' }],
  ])('read %s', (text, address) => {
    expect(parseHubAddress(text)).toEqual(address)
  })

  it.each([
    'fox',
    'me/',
    '/fox',
    'me/..',
    '../fox',
    'me/fox@',
    'me/fox@../x',
    'me/fox//x.safetensors',
    'me/f x',
    'https://h/me/fox',
  ])('refuse %s', (text) => {
    expect(() => parseHubAddress(text)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })

  it('refuse files that are not safetensors', () => {
    expect(() => parseHubAddress('me/fox/fox.ckpt')).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_MODEL' }))
  })

  it('tell paths that stay in their folder', () => {
    expect(['a', 'a/b.json', '.gitattributes'].every((path) => isSafePath(path))).toBe(true)
    expect(['', '/a', 'a/../../b', '..', 'a//b', 'a\\b', './a'].some((path) => isSafePath(path))).toBe(false)
  })
})
