import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSandbox } from '../test/support/sandbox.js'
import { openTerminal } from '../test/support/terminal.js'
import { captureFrame, filmOf, type Frame } from './screen-svg.js'

/**
 * Records docs/images/session.svg: the built program in a real terminal, typed by this script. Run it by
 * `npm run record` after a build, when what the program shows has changed.
 */

const COLUMNS = 76
const ROWS = 22
/** A screen that is shorter there than this is left out. */
const SHORTEST_MS = 90
const OUTPUT = 'docs/images/session.svg'
const HINT = resolve('fixtures/models/examples/canny_0.png')
const COMMANDS = [
  'swiftd generate "a large red star on a blue background" --seed 7 --show -o star.png',
  'swiftd generate "a large green circle" --lora stripes --control canny=edges.png --steps 40 -o b.png',
  'swiftd ps',
]

const sandbox = createSandbox({ SWIFTD_DEVICES: 'cpu:0=1,cpu:1=1' })
try {
  const bin = join(sandbox.directory, '..', 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'swiftd'), `#!/bin/sh\nexec '${process.execPath}' '${resolve('bin/run.js')}' "$@"\n`)
  chmodSync(join(bin, 'swiftd'), 0o755)
  await sandbox.run(['daemon', 'start'])
  copyFileSync(HINT, join(sandbox.directory, 'edges.png'))

  const env = { PATH: `${bin}:${sandbox.env.PATH}`, PS1: '$ ', BASH_SILENCE_DEPRECATION_WARNING: '1' }
  const shell = ['bash', '--norc', '--noprofile', '--noediting']
  const session = openTerminal(shell, sandbox, { columns: COLUMNS, rows: ROWS, env })
  const frames: Frame[] = []
  session.watch((at) => {
    const frame = captureFrame(session.terminal, Math.round(at))
    if (frame.lines.join('\n') !== frames.at(-1)?.lines.join('\n')) frames.push(frame)
  })
  const prompts = (): number => session.screen().filter((line) => line === '$').length
  await waitFor(() => prompts() === 1)
  for (const command of COMMANDS) {
    await type(command)
    await sleep(300)
    session.type('\r')
    await sleep(500)
    await waitFor(() => session.screen().at(-1) === '$')
    await sleep(1200)
  }
  session.kill()
  const begin = frames[0].at
  const film = filmOf(
    thin(frames.map(({ at, lines }) => ({ at: at - begin, lines: lines.map(inNobodysHome) }))),
    ...([COLUMNS, ROWS, 4000] as const),
  )
  writeFileSync(OUTPUT, film)
  process.stdout.write(`${OUTPUT}: ${Math.round(film.length / 1024)} KiB, ${frames.length} screens\n`)

  async function type(text: string): Promise<void> {
    for (const key of text) {
      session.type(key)
      await sleep(25)
    }
  }
} finally {
  await sandbox.dispose()
}

/** The recording's own directory is gone when it is read. */
function inNobodysHome(line: string): string {
  const length = line.length
  return line.replaceAll(sandbox.directory, '/home/you').padEnd(length)
}

/** At most so many screens a second, and every one that stays for a while. */
function thin(frames: readonly Frame[]): Frame[] {
  const kept: Frame[] = []
  for (const [index, frame] of frames.entries()) {
    const next = frames[index + 1]?.at ?? Infinity
    const last = kept.at(-1)?.at ?? -Infinity
    if (next - frame.at >= SHORTEST_MS || frame.at - last >= SHORTEST_MS) kept.push(frame)
  }
  return kept
}

async function waitFor(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('The program did not do what the recording waits for.')
    await sleep(20)
  }
}
