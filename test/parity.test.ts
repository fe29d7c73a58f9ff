import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openGoldens } from './parity/goldens.js'
import { kinds } from './parity/kinds/index.js'
import { main } from './parity/main.js'
import { summary, tableHeader, tableRows } from './parity/report.js'
import { runParity, selectCases, type CaseResult, type ParityOptions } from './parity/run.js'

const GOLDENS = 'fixtures/goldens'
const temporary: string[] = []

afterEach(() => {
  vi.restoreAllMocks()
  for (const dir of temporary.splice(0)) rmSync(dir, { recursive: true })
})

/** A goldens folder that may be damaged: the index and the named families of the real one. */
function copyOfGoldens(...families: string[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'goldens-'))
  temporary.push(dir)
  const index = JSON.parse(readFileSync(join(GOLDENS, 'index.json'), 'utf8')) as {
    families: Record<string, { cases: number }>
    total_cases: number
  }
  index.families = Object.fromEntries(Object.entries(index.families).filter(([name]) => families.includes(name)))
  index.total_cases = Object.values(index.families).reduce((sum, family) => sum + family.cases, 0)
  writeFileSync(join(dir, 'index.json'), JSON.stringify(index))
  for (const family of families) cpSync(join(GOLDENS, family), join(dir, family), { recursive: true })
  return dir
}

async function run(dir: string, only?: string): Promise<CaseResult[]> {
  const goldens = openGoldens(dir)
  try {
    return await collect({ goldens, only, kinds })
  } finally {
    goldens.close()
  }
}

async function collect(options: ParityOptions): Promise<CaseResult[]> {
  const results: CaseResult[] = []
  for await (const result of runParity(options)) results.push(result)
  return results
}

/** Runs the command with its output kept. */
async function command(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out = vi.spyOn(console, 'log').mockImplementation(() => undefined)
  const err = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const code = await main(args)
  const text = (spy: typeof out) => spy.mock.calls.map((call) => String(call[0])).join('\n')
  return { code, out: text(out), err: text(err) }
}

/** Adds `amount` to the first float of a tensor, in place. */
function changeFirstValue(path: string, tensor: string, amount: number): void {
  const bytes = readFileSync(path)
  const headerBytes = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<string, { data_offsets: number[] }>
  const position = 8 + headerBytes + header[tensor].data_offsets[0]
  bytes.writeFloatLE(bytes.readFloatLE(position) + amount, position)
  writeFileSync(path, bytes)
}

describe('the goldens', () => {
  it('hold for every case that is supported', { timeout: 600_000 }, async () => {
    const goldens = openGoldens(GOLDENS)
    const results: CaseResult[] = []
    try {
      const names = selectCases(goldens)
      const lines = tableHeader(names)
      for await (const result of runParity({ goldens, kinds })) {
        results.push(result)
        lines.push(...tableRows(result, names))
      }
      console.log([...lines, ...summary(results)].join('\n'))

      expect(results.filter((result) => result.status === 'failed')).toEqual([])
      expect(results.length).toBe(goldens.totalCases)
      expect(results.filter((result) => result.family === 'schedulers' && result.status === 'passed').length).toBe(471)
      expect(results.filter((result) => result.family === 'rng' && result.status === 'passed').length).toBe(103)
    } finally {
      goldens.close()
    }
  })
})

describe('the parity runner', () => {
  it('fails a case whose expected value was changed, and only that one', async () => {
    const dir = copyOfGoldens('rng')
    changeFirstValue(join(dir, 'rng/io/rng.safetensors'), 'seed42-14.out.draws.1', 1e-4)
    const results = await run(dir, 'seed42-1*')
    expect(results.filter((result) => result.status === 'failed').map((result) => result.id)).toEqual(['seed42-14'])
    const [first, second] = results.find((result) => result.id === 'seed42-14')!.measurements
    expect(first).toMatchObject({ quantity: 'draw 0', passed: true })
    expect(second).toMatchObject({ quantity: 'draw 1', measure: 'max_abs', limit: 2e-6, passed: false })
    expect(second.error).toBeCloseTo(1e-4, 6)
  })

  it('exits 1 when a case fails and 0 when all pass', async () => {
    const dir = copyOfGoldens('rng')
    expect((await command('--goldens', dir, '--only', 'rng/torch_randn/global')).code).toBe(0)
    changeFirstValue(join(dir, 'rng/io/rng.safetensors'), 'global.out.draws.0', 1)
    const failed = await command('--goldens', dir, '--only', 'rng/torch_randn/global')
    expect(failed.code).toBe(1)
    expect(failed.out).toMatch(/rng\/torch_randn\/global\s+draw 0\s+max_abs\s+2\.0e-6\s+1\.0e\+0\s+FAIL/)
    expect(failed.out).toContain('1 cases: 0 passed, 1 failed, 0 skipped.')
  })

  it('names a missing tensor file and exits 2', async () => {
    const dir = copyOfGoldens('rng')
    rmSync(join(dir, 'rng/io/rng.safetensors'))
    const { code, err } = await command('--goldens', dir)
    expect(code).toBe(2)
    expect(err).toMatch(/cases\.json names the file io\/rng\.safetensors, but .* does not exist/)
  })

  it('exits 2 with a sentence for a folder without goldens, an unknown flag and a pattern without cases', async () => {
    expect(await command('--goldens', 'src')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/src\/index\.json/) as string,
    })
    expect(await command('--fast')).toMatchObject({ code: 2, err: expect.stringContaining('Usage:') as string })
    expect(await command('--only', 'no-such-case')).toMatchObject({
      code: 2,
      err: expect.stringContaining('matches "no-such-case"') as string,
    })
  })

  it('exits 2 with a sentence for an index of another form', async () => {
    const dir = copyOfGoldens('rng')
    writeFileSync(join(dir, 'rng/cases.json'), '{"cases": [{"id": 7}]}')
    const { code, err } = await command('--goldens', dir)
    expect(code).toBe(2)
    expect(err).toMatch(/cases\.json is not a goldens index/)
  })

  it('skips kinds that it does not know, with the reason', async () => {
    const dir = copyOfGoldens('rng')
    const cases = JSON.parse(readFileSync(join(dir, 'rng/cases.json'), 'utf8')) as { cases: { kind: string }[] }
    cases.cases[0].kind = 'audio'
    writeFileSync(join(dir, 'rng/cases.json'), JSON.stringify(cases))
    const [first, ...others] = await run(dir)
    expect(first).toMatchObject({ status: 'skipped', reason: 'the kind "audio" is not yet supported' })
    expect(others.every((result) => result.status === 'passed')).toBe(true)
    expect(summary([first]).join('\n')).toContain('1 cases: 0 passed, 0 failed, 1 skipped.')
  })

  it('fails a case of which nothing was measured, and one whose kind throws', async () => {
    const goldens = openGoldens(GOLDENS)
    const only = 'rng/torch_randn/global'
    const [empty] = await collect({
      goldens,
      only,
      kinds: { torch_randn: () => Promise.resolve({ measurements: [] }) },
    })
    const [thrown] = await collect({
      goldens,
      only,
      kinds: { torch_randn: () => Promise.reject(new Error('no device')) },
    })
    goldens.close()
    expect(empty).toMatchObject({ status: 'failed', reason: 'nothing was measured' })
    expect(thrown).toMatchObject({ status: 'failed', reason: 'no device' })
  })

  it('creates a shared resource once per family and disposes of it after its last case', async () => {
    const events: string[] = []
    const kind = async (context: Parameters<(typeof kinds)[string]>[0]) => {
      await context.resource(
        'session',
        () => events.push(`open ${context.family.name}`),
        () => void events.push(`close ${context.family.name}`),
      )
      events.push(context.case.id)
      return { skipped: 'only the resource matters' }
    }
    const goldens = openGoldens(copyOfGoldens('rng', 'schedulers'))
    await collect({ goldens, only: '5*', kinds: { torch_randn: kind, scheduler: kind } })
    goldens.close()
    expect(events.filter((event) => event.startsWith('open'))).toEqual(['open rng', 'open schedulers'])
    expect(events.length).toBeGreaterThan(20)
    expect(events.indexOf('open rng')).toBe(0)
    expect(events.indexOf('close rng')).toBe(events.indexOf('open schedulers') - 1)
    expect(events.at(-1)).toBe('close schedulers')
  })

  it('writes one JSON document that scripts can read', async () => {
    const { code, out } = await command('--json', '--only', 'rng/torch_randn/seed0-00')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      total: 1,
      passed: 1,
      failed: 0,
      skipped: 0,
      cases: [
        { name: 'rng/torch_randn/seed0-00', status: 'passed', measurements: [{ quantity: 'draw 0', limit: 2e-6 }] },
      ],
    })
  })
})
