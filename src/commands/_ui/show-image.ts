import { colourDepth, halfBlocks, type Pixels } from './half-blocks.js'

export type GraphicsProtocol = 'kitty' | 'iterm2' | 'half-blocks'

/**
 * How a terminal shows pictures, by what it says in the environment. Inside of tmux or screen neither protocol gets
 * through, and these set TERM.
 */
export function graphicsProtocol(environment: NodeJS.ProcessEnv = process.env): GraphicsProtocol {
  const { KITTY_WINDOW_ID, TERM = '', TERM_PROGRAM = '', TMUX } = environment
  if (TMUX !== undefined || /^(screen|tmux)/.test(TERM)) return 'half-blocks'
  if (KITTY_WINDOW_ID !== undefined || TERM.includes('kitty') || TERM_PROGRAM.toLowerCase() === 'ghostty')
    return 'kitty'
  return TERM_PROGRAM === 'iTerm.app' || TERM_PROGRAM === 'WezTerm' ? 'iterm2' : 'half-blocks'
}

export interface ShowOptions {
  /** A terminal. */
  readonly stream: NodeJS.WriteStream
  readonly environment?: NodeJS.ProcessEnv
}

/** Shows a PNG in the terminal, in its own resolution where the terminal can, else in half-block cells. */
export async function showImage(png: Uint8Array, { stream, environment = process.env }: ShowOptions): Promise<void> {
  const protocol = graphicsProtocol(environment)
  if (protocol === 'kitty') stream.write(`${kittyImage(png)}\n`)
  else if (protocol === 'iterm2') stream.write(`${itermImage(png)}\n`)
  else {
    const columns = Math.min(stream.columns || 80, 64)
    const rows = Math.max(2, (stream.rows || 24) - 4)
    const lines = halfBlocks(await decode(png), columns, Math.min(rows, 32), colourDepth(environment))
    stream.write(`${lines.join('\n')}\n`)
  }
}

/** The longest payload of one escape sequence. */
const CHUNK = 4096

/** https://sw.kovidgoyal.net/kitty/graphics-protocol: a=T transmits and shows, f=100 is PNG, m=1 means that more comes. */
export function kittyImage(png: Uint8Array): string {
  const payload = Buffer.from(png).toString('base64')
  const chunks = payload.match(new RegExp(`.{1,${CHUNK}}`, 'g')) ?? ['']
  return chunks
    .map((chunk, index) => {
      const more = index < chunks.length - 1 ? 1 : 0
      return `\x1b_G${index === 0 ? 'a=T,f=100,q=2,' : ''}m=${more};${chunk}\x1b\\`
    })
    .join('')
}

/** https://iterm2.com/documentation-images.html */
export function itermImage(png: Uint8Array): string {
  const payload = Buffer.from(png).toString('base64')
  return `\x1b]1337;File=inline=1;size=${png.byteLength};preserveAspectRatio=1:${payload}\x07`
}

/** sharp is loaded only here: it takes as long as everything else that a command loads. */
async function decode(png: Uint8Array): Promise<Pixels> {
  const { default: sharp } = await import('sharp')
  const { data, info } = await sharp(png)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { width: info.width, height: info.height, rgb: data }
}
