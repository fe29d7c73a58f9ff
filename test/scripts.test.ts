import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LinesResult } from '../src/commands/_shared/generate-many.js'
import type { Job } from '../src/daemon/protocol/job.js'
import { parseInfotext } from '../src/engine/image/infotext.js'
import { readPngText } from '../src/engine/image/png.js'
import { createSandbox, type Finished, type Sandbox } from './support/sandbox.js'
import { openTerminal } from './support/terminal.js'

const PATIENTLY = { timeout: 30_000, interval: 50 }
const STEPS = ['--steps', '2']
let sandbox: Sandbox

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start'])
})
afterAll(() => sandbox.dispose())

const fileOf = (name: string): string => join(sandbox.directory, name)
const factsOf = (name: string) => parseInfotext(readPngText(readFileSync(fileOf(name))).parameters)
const namesIn = (stdout: string): string[] => stdout.split('\n').map((path) => basename(path))
const generate = (args: readonly string[], input?: string): Promise<Finished> =>
  sandbox.run(['generate', ...args], input === undefined ? {} : { input })
const statesOf = async (): Promise<string[]> => (await sandbox.connect().jobs()).map(({ state }) => state)
interface JsonLine {
  readonly type: string
  readonly line?: number
  readonly jobId?: string
  readonly seed?: number
}
const jsonLines = (stdout: string): JsonLine[] => stdout.split('\n').map((line) => JSON.parse(line) as JsonLine)

describe('generate --detach', () => {
  it('prints the id, and "jobs wait" saves the images later', async () => {
    const { exitCode, stdout, stderr } = await generate(['a red star', ...STEPS, '-n', '2', '--seed', '7', '--detach'])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^[0-9a-f]{12}$/)
    const waited = await sandbox.run(['jobs', 'wait', stdout, '-q', '-o', '{job}-{seed}-{index}.png'])
    expect(waited).toMatchObject({ exitCode: 0, stderr: '' })
    expect(namesIn(waited.stdout)).toEqual([`${stdout}-7-0.png`, `${stdout}-8-1.png`])
    expect(factsOf(`${stdout}-8-1.png`)).toMatchObject({ prompt: 'a red star', seed: 8, steps: 2 })
    const bytes = await sandbox.run(['jobs', 'wait', stdout, '-q', '-o', '-'])
    expect([bytes.exitCode, bytes.stderr]).toEqual([2, expect.stringContaining('has 2; give -o the name of a file')])
  })

  it('prints the job with --json', async () => {
    const { stdout } = await generate(['a red star', ...STEPS, '--detach', '--json'])
    const { id, request } = JSON.parse(stdout) as Job
    expect(request).toMatchObject({ prompt: 'a red star', numInferenceSteps: 2 })
    expect((await sandbox.run(['jobs', 'wait', id, '-q'])).exitCode).toBe(0)
  })

  it('prints an id for each prompt, in their order', async () => {
    const { stdout } = await generate([...STEPS, '--detach'], 'a red star\na green circle\n')
    const prompts = []
    for (const id of stdout.split('\n')) prompts.push((await sandbox.connect().job(id)).request.prompt)
    expect(prompts).toEqual(['a red star', 'a green circle'])
  })

  it.each([
    [['-o', '-'], '-o'],
    [['-o', 'a.png'], '-o'],
    [['--show'], '--show'],
    [['--timeout', '3'], '--timeout'],
    [['--jsonl'], '--jsonl'],
  ])('does not go together with %j', async (flags, named) => {
    const { exitCode, stdout, stderr } = await generate(['x', '--detach', ...flags])
    expect(exitCode).toBe(2)
    // With --jsonl the error is a line of JSON.
    expect(stdout + stderr).toMatch(new RegExp(`These flags do not go together: --detach [^\\n]*${named}`))
  })
})

describe('generate --jsonl', () => {
  it('prints the events, and the result as the last line', async () => {
    const { exitCode, stdout, stderr } = await generate(['a red star', ...STEPS, '--jsonl', '-o', 'events.png'])
    expect([exitCode, stderr]).toEqual([0, ''])
    const events = jsonLines(stdout)
    const types = events.map(({ type }) => type)
    expect(types.slice(0, 2)).toEqual(['accepted', 'started'])
    expect(types.filter((type) => type === 'step')).toHaveLength(2)
    expect(types.slice(-2)).toEqual(['completed', 'result'])
    const { jobId, seed } = events[0]
    expect(events.at(-1)).toMatchObject({ jobId, seed, model: 'demo', images: [{ path: fileOf('events.png') }] })
  })

  it('prints the error as the last line', async () => {
    const late = await generate(['a red star', '--steps', '900', '--timeout', '0.5', '--jsonl'])
    expect([late.exitCode, late.stderr]).toEqual([124, ''])
    expect(jsonLines(late.stdout).at(-1)).toMatchObject({ type: 'error', error: { code: 'TIMEOUT' } })
    const wrong = await generate(['x', '--steps', '0', '--jsonl'])
    expect([wrong.exitCode, wrong.stderr]).toEqual([2, ''])
    expect(jsonLines(wrong.stdout)).toMatchObject([{ type: 'error', error: { code: 'INVALID_REQUEST' } }])
  })

  it('tells of each event whose it is, and of failed lines', async () => {
    const prompts = 'a red star\n{"prompt": "x", "model": "dmeo"}\na green circle'
    const { exitCode, stdout } = await generate([...STEPS, '--jsonl', '-o', 'tell-{line}.png'], prompts)
    expect(exitCode).toBe(4)
    const lines = jsonLines(stdout)
    const ended = lines.filter(({ type }) => type === 'result' || type === 'error')
    expect(ended).toMatchObject([
      { type: 'result', line: 1, images: [{ path: fileOf('tell-1.png') }] },
      { type: 'error', line: 2, error: { code: 'MODEL_NOT_FOUND' } },
      { type: 'result', line: 3, images: [{ path: fileOf('tell-3.png') }] },
    ])
    const jobs = new Set(lines.filter(({ type }) => type !== 'error').map(({ line, jobId }) => `${line} ${jobId}`))
    expect(jobs).toEqual(new Set([`1 ${ended[0].jobId}`, `3 ${ended[2].jobId}`]))
  })

  it('prints lines of JSON only, so that "-o -" and --json are refused beside it', async () => {
    const { exitCode, stdout } = await generate(['x', '--jsonl', '-o', '-'])
    expect([exitCode, jsonLines(stdout)]).toMatchObject([2, [{ type: 'error' }]])
    const { stdout: document } = await generate(['x', '--jsonl', '--json'])
    expect(JSON.parse(document)).toMatchObject({ error: { code: 'INVALID_REQUEST' } })
  })
})

describe('prompts of a file', () => {
  it('are jobs, with the flags as defaults, seeds that count on, and paths in their order', async () => {
    const prompts = [
      '# shapes',
      'a red star',
      '',
      '{"prompt": "a green circle", "numInferenceSteps": 1, "width": 64, "height": 64}',
      '{"prompt": "a yellow heart", "seed": 40, "numImages": 2}',
      'a red square',
    ]
    writeFileSync(fileOf('prompts.txt'), prompts.join('\r\n'))
    const args = ['--prompts-file', 'prompts.txt', ...STEPS, '--seed', '5', '-q', '-o', '{line}-{seed}.png']
    const { exitCode, stdout, stderr } = await generate(args)
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(namesIn(stdout)).toEqual(['2-5.png', '4-6.png', '5-40.png', '5-41.png', '6-8.png'])
    expect(factsOf('4-6.png')).toMatchObject({ prompt: 'a green circle', steps: 1, width: 64, seed: 6 })
    expect(factsOf('6-8.png')).toMatchObject({ prompt: 'a red square', steps: 2, width: 128, seed: 8 })
  })

  it('draw seeds of their own without --seed', async () => {
    const { stdout } = await generate([...STEPS, '--json', '-q', '-o', '{seed}.png'], 'a red star\na red star')
    const seeds = (JSON.parse(stdout) as LinesResult).results.map((result) => 'seed' in result && result.seed)
    expect(new Set(seeds).size).toBe(2)
    expect(seeds.every((seed) => typeof seed === 'number' && existsSync(fileOf(`${seed}.png`)))).toBe(true)
  })

  it('get names of their own where the template has none', async () => {
    const plain = await generate([...STEPS, '-q', '-o', 'own.png'], 'a red star\n\na green circle')
    expect(namesIn(plain.stdout)).toEqual(['own-1.png', 'own-3.png'])
    const lines = '{"prompt": "a red star", "seed": 7}\n{"prompt": "a green circle", "seed": 7}'
    const same = await generate([...STEPS, '-q', '-o', 'same-{seed}.png'], lines)
    expect(namesIn(same.stdout)).toEqual(['same-7.png', 'same-7-2.png'])
  })

  it('may name pictures and models by paths', async () => {
    await generate(['a red star', ...STEPS, '--seed', '1', '-q', '-o', 'start.png'])
    const line = { prompt: 'a red star', image: { path: 'start.png' }, strength: 0.5 }
    const { exitCode, stderr } = await generate(['-', ...STEPS, '-q', '-o', 'redone.png'], JSON.stringify(line))
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(factsOf('redone-1.png')).toMatchObject({ denoisingStrength: 0.5 })
    const missing = JSON.stringify({ prompt: 'x', model: './nowhere' })
    const failed = await generate(['-', '-q'], missing)
    expect([failed.exitCode, failed.stderr]).toEqual([4, expect.stringContaining(fileOf('nowhere'))])
  })

  it('that are wrong are told by their line, and stop no others', async () => {
    const prompts = [
      'a red star',
      '{"prompt": "x", "stpes": 3}',
      '{"prompt": ',
      '{"prompt": "x", "model": "dmeo"}',
      'a green circle',
    ]
    const { exitCode, stdout, stderr } = await generate([...STEPS, '-q', '-o', 'wrong-{line}.png'], prompts.join('\n'))
    expect(exitCode).toBe(2)
    expect(namesIn(stdout)).toEqual(['wrong-1.png', 'wrong-5.png'])
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(/^Error: Line 2: The request has the unknown field "stpes"; known are /),
      expect.stringMatching(/^Error: Line 3: This is no JSON object \(/),
      expect.stringMatching(/^Error: Line 4: There is no model "dmeo"; /),
    ])
  })

  it('give one document with --json, with the errors of those that fail', async () => {
    const prompts = 'a red star\n{"prompt": "x", "model": "dmeo"}'
    const { exitCode, stdout, stderr } = await generate([...STEPS, '--json', '-q', '-o', 'json-{line}.png'], prompts)
    expect([exitCode, stderr]).toEqual([4, ''])
    expect(JSON.parse(stdout)).toMatchObject({
      results: [
        { line: 1, model: 'demo', images: [{ path: fileOf('json-1.png') }] },
        { line: 2, error: { code: 'MODEL_NOT_FOUND' } },
      ],
    })
  })

  it('write one image to stdout if it is one', async () => {
    const program = [resolve('bin/run.js'), 'generate', ...STEPS, '-o', '-']
    const options = { cwd: sandbox.directory, env: sandbox.env, extendEnv: false, encoding: 'buffer' } as const
    const { stdout } = await execa(process.execPath, program, { ...options, input: 'a red star\n' })
    expect(Buffer.from(stdout).subarray(1, 4).toString()).toBe('PNG')
    const two = await generate(['-o', '-'], 'a\nb')
    expect([two.exitCode, two.stderr]).toEqual([2, expect.stringContaining('takes one image, not the 2')])
  })

  it('that are not there, or beside another prompt, are refused', async () => {
    const failing = async (args: readonly string[], input?: string): Promise<string> => {
      const { exitCode, stderr } = await generate(args, input)
      expect(exitCode).toBe(2)
      return stderr
    }
    expect(await failing(['--prompts-file', 'no.txt'])).toMatch(/--prompts-file no\.txt cannot be read: there is no/)
    expect(await failing(['-'], '# nothing\n\n')).toMatch(/There is no prompt on stdin; give it in quotes/)
    expect(await failing(['x', '--prompts-file', 'prompts.txt'])).toMatch(/do not go together: the prompts are those/)
    expect(await failing(['-', '--from', 'start.png'])).toMatch(/do not go together: --from makes one image again/)
  })

  it('wait for room in a full queue', async () => {
    const client = sandbox.connect()
    const submit = (numInferenceSteps: number): Promise<Job> => client.submit({ prompt: 'x', numInferenceSteps })
    const blocker = await submit(900)
    const others: Job[] = []
    // Until the queue is full.
    await expect(
      (async () => {
        for (;;) others.push(await submit(1))
      })(),
    ).rejects.toMatchObject({ code: 'QUEUE_FULL' })
    const one = await generate(['a red star', ...STEPS, '-q'])
    expect(one.exitCode).toBe(6)

    writeFileSync(fileOf('full.txt'), 'a red star\na green circle\n')
    const command = sandbox.start(['generate', '--prompts-file', 'full.txt', ...STEPS, '-o', 'full-{line}.png'])
    let stderr = ''
    command.stderr?.on('data', (data: Buffer) => (stderr += data.toString()))
    await expect.poll(() => stderr, PATIENTLY).toContain('The queue of the daemon is full; waiting for room\n')
    for (const { id } of [...others, blocker]) await client.cancel(id)
    const { exitCode, stdout } = await command
    expect([exitCode, namesIn(stdout)]).toEqual([0, ['full-1.png', 'full-2.png']])
  })

  it('are all cancelled at Ctrl-C, after which what was made is kept', async () => {
    const long = { prompt: 'a red star', numInferenceSteps: 900 }
    const lines = [{ prompt: 'a red star', numInferenceSteps: 1 }, long, long, long]
    writeFileSync(fileOf('long.txt'), lines.map((line) => JSON.stringify(line)).join('\n'))
    const command = sandbox.start(['generate', '--prompts-file', 'long.txt', '-q', '-o', 'long-{line}.png'])
    await expect.poll(() => existsSync(fileOf('long-1.png')), PATIENTLY).toBe(true)
    await expect.poll(async () => (await statesOf()).filter((state) => state === 'queued').length, PATIENTLY).toBe(2)
    command.kill('SIGINT')
    const { exitCode, stdout, stderr } = await command
    expect([exitCode, namesIn(String(stdout)), stderr]).toEqual([130, ['long-1.png'], 'Error: Cancelled.'])
    expect((await statesOf()).slice(-3)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  })

  it('are told in lines with their numbers, and not at all with --quiet', async () => {
    const prompts = 'a red star\n\na green circle'
    const told = await generate([...STEPS, '-o', 'told-{line}.png'], prompts)
    expect(told.stderr).toMatch(/^Line 1: Step 2\/2 .*\nLine 3: Step 2\/2 .*$/)
    expect((await generate([...STEPS, '-q', '-o', 'told-{line}.png'], prompts)).stderr).toBe('')
  })

  it('have a bar each in a terminal while they run, and leave their paths there', async () => {
    const prompts = '{"prompt": "a red star", "numInferenceSteps": 900}\n{"prompt": "x", "stpes": 1}\na green circle'
    writeFileSync(fileOf('live.txt'), prompts)
    const args = [...['generate', '--prompts-file', 'live.txt', '-o', 'live-{line}.png'], ...STEPS]
    const session = openTerminal([process.execPath, resolve('bin/run.js'), ...args], sandbox, { columns: 90 })
    const text = (): string => session.screen().join('\n')
    await expect.poll(text, PATIENTLY).toMatch(/^1: █*░+ step \d+\/900 .*\n0 of 3 done · 1 failed · 1 wait$/m)
    const first = (await sandbox.connect().jobs()).find(({ state }) => state === 'running')
    await sandbox.connect().cancel(first?.id ?? '')
    expect((await session.exit).exitCode).toBe(130)
    expect(text()).not.toContain('of 3 done')
    const lines = text().split('\n')
    expect(lines[0]).toMatch(/^Error: Line 1: The job [0-9a-f]{12} was cancelled on the daemon\./)
    expect(lines.at(-1)).toBe(fileOf('live-3.png'))
  })

  it.each(['NO_COLOR', 'CI'])('are told in plain lines in a terminal where %s is set', async (name) => {
    const args = ['generate', '--prompts-file', 'full.txt', ...STEPS, '-o', 'plain-{line}.png']
    const options = { columns: 200, env: { [name]: '1' } }
    const session = openTerminal([process.execPath, resolve('bin/run.js'), ...args], sandbox, options)
    expect((await session.exit).exitCode).toBe(0)
    expect(session.output).not.toContain('\x1b')
    expect(session.output).toContain('Line 2: Step 2/2')
  })
})
