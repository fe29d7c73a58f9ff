import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { graphicsProtocol, itermImage, kittyImage, showImage } from './show-image.js'

const PNG = readFileSync('docs/images/star.png')

describe('showImage', () => {
  it.each([
    [{ KITTY_WINDOW_ID: '1', TERM: 'xterm-kitty' }, 'kitty'],
    [{ TERM_PROGRAM: 'ghostty' }, 'kitty'],
    [{ TERM_PROGRAM: 'iTerm.app' }, 'iterm2'],
    [{ TERM_PROGRAM: 'WezTerm' }, 'iterm2'],
    [{ TERM_PROGRAM: 'WezTerm', TMUX: '/tmp/tmux' }, 'half-blocks'],
    [{ TERM: 'xterm-256color' }, 'half-blocks'],
  ])('knows what a terminal can, by %o', (environment, protocol) => {
    expect(graphicsProtocol(environment)).toBe(protocol)
  })

  it('sends the whole file, in chunks of at most 4096 characters to kitty', () => {
    const sequences = kittyImage(PNG).split('\x1b_G').slice(1)
    const parts = sequences.map((sequence) => sequence.replace('\x1b\\', '').split(';'))
    expect(parts.map(([control]) => control)).toEqual(['a=T,f=100,q=2,m=1', ...parts.slice(2).map(() => 'm=1'), 'm=0'])
    expect(Math.max(...parts.map(([, payload]) => payload.length))).toBeLessThanOrEqual(4096)
    expect(Buffer.from(parts.map(([, payload]) => payload).join(''), 'base64')).toEqual(PNG)
    expect(itermImage(PNG)).toContain(`\x1b]1337;File=inline=1;size=${PNG.byteLength};`)
  })

  it('draws coarse cells where there are no graphics', async () => {
    let written = ''
    const stream = Object.assign(new EventEmitter(), {
      columns: 30,
      rows: 20,
      write: (text: string) => (written += text),
    })
    await showImage(PNG, { stream: stream as unknown as NodeJS.WriteStream, environment: { COLORTERM: 'truecolor' } })
    const lines = written.trimEnd().split('\n')
    expect(lines).toHaveLength(15)
    expect(lines[0].match(/▀/g)).toHaveLength(30)
    expect(written).toContain('38;2;')
  })
})
