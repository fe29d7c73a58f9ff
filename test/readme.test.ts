import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ERRORS } from '../src/daemon/protocol/error.js'

const FIRST_IMAGE = 'npm ci && ./bin/run.js generate "a large red star on a blue background" --seed 7 -o star.png'
const TESTS = 'npm ci && npm test'

const readme = readFileSync('README.md', 'utf8')
/** The contents of the README's fenced blocks. */
const blocks = [...readme.matchAll(/^```\w*\n([^]*?)\n```$/gm)].map(([, content]) => content)
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }

describe('README', () => {
  it.each([FIRST_IMAGE, TESTS])('has this command line in a block of its own: %s', (line) => {
    expect(blocks.filter((block) => block === line)).toHaveLength(1)
  })

  it('names only files that are there', () => {
    const targets = [...readme.matchAll(/(?:\]\(|src=")([^)#"]+)/g)].map(([, target]) => target)
    const local = targets.filter((target) => !/^\w+:/.test(target))
    expect(local).toContain('docs/images/star.png')
    expect(local.filter((target) => !existsSync(target))).toEqual([])
  })

  it('names only scripts that package.json has', () => {
    const named = [...readme.matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, script]) => script)
    expect(named).toEqual(expect.arrayContaining(['parity', 'bench']))
    expect(named.filter((script) => !(script in manifest.scripts))).toEqual([])
  })

  it('gives every exit code that commands have', () => {
    const table = [...readme.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code))
    const codes = new Set([0, ...Object.values(ERRORS).map(({ exitCode }) => exitCode)])
    expect(table).toEqual([...codes].sort((a, b) => a - b))
  })
})

describe('.ci/run', () => {
  it("runs the README's test command, as a line of its own", () => {
    expect(readFileSync('.ci/run', 'utf8')).toMatch(new RegExp(`^${TESTS}( \\|\\| .*)?$`, 'm'))
  })

  it('can be executed', () => {
    expect(statSync('.ci/run').mode & 0o111).toBe(0o111)
  })
})
