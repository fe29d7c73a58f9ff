import { copyFileSync, cpSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ORIGINAL_PREFIX } from '../src/engine/weights/original-names.js'
import { openSafetensors } from '../src/engine/weights/safetensors.js'
import { writeSafetensors } from '../src/engine/weights/safetensors-writer.js'
import { filesOf, startHubServer, type HubServer } from './hub-server.js'
import { createSandbox, type Finished, type Sandbox } from './support/sandbox.js'

const SD15 = resolve('fixtures/goldens/sd15')
const FOLDER = join(SD15, 'model')
const FILE = join(SD15, 'sd15.original.safetensors')

describe('models by name', () => {
  let sandbox: Sandbox
  const model = (...args: string[]): Promise<Finished> => sandbox.run(['model', ...args])
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await model(...args, '--json')).stdout) as T
  const records = (): string => join(sandbox.env.XDG_DATA_HOME, 'swiftd/models')

  beforeAll(() => {
    sandbox = createSandbox()
    Object.assign(sandbox.env, { XDG_DATA_HOME: join(sandbox.env.HOME, 'data') })
    cpSync(FOLDER, join(sandbox.directory, 'fox'), { recursive: true })
    copyFileSync(FILE, join(sandbox.directory, 'Fox One.safetensors'))
  })
  afterAll(() => sandbox.dispose())

  it('start with the demo model, which stays', async () => {
    const { stdout } = await model('list')
    expect(stdout).toMatch(
      /^NAME +ID +FAMILY +SIZE +DTYPE +MODIFIED\ndemo +[0-9a-f]{12} +sdxl +\d+\.\d MB +F\S+ +comes with swiftd$/,
    )
    expect(await model('rm', 'demo')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/comes with/) as string,
    })
  })

  it('are added from folders and files, listed, shown and removed', async () => {
    expect((await model('add', 'fox')).stdout).toMatch(/^Added fox \(sd1, .* parameters, F32, 1\.1 MB\)$/)
    const added = await json('add', 'Fox One.safetensors', '--config', 'fox', '--name', 'one:v1')
    expect(added).toMatchObject({
      name: 'one:v1',
      path: join(sandbox.directory, 'Fox One.safetensors'),
      configuration: join(sandbox.directory, 'fox'),
    })
    const { stdout } = await model('ls')
    expect(stdout).toMatch(/^fox +[0-9a-f]{12} +sd1 +1\.1 MB +F32 +(just now|\d+ seconds ago)$/m)
    expect(stdout).toMatch(/^one:v1 +[0-9a-f]{12} +sd1/m)
    const shown = await model('show', 'on')
    expect(shown.stdout).toMatch(/^name +one:v1$/m)
    expect(shown.stdout).toMatch(/^scheduler +PNDMScheduler, predicts epsilon$/m)
    expect(shown.stdout).toMatch(/^sha256 +[0-9a-f]{64}$/m)
    expect(shown.stdout).toMatch(/^ +unet +\S+ +F32 +\S+ kB$/m)
    expect(await json('show', './fox')).toMatchObject({ kind: 'folder', family: 'sd1', width: 128 })
    expect((await model('rm', 'one:v1', 'fox')).stdout).toBe('Removed one:v1\nRemoved fox')
    expect((await json<{ models: unknown[] }>('list')).models).toHaveLength(1)
    expect(existsSync(join(sandbox.directory, 'Fox One.safetensors'))).toBe(true)
    expect(existsSync(join(sandbox.directory, 'fox/model_index.json'))).toBe(true)
  })

  it('are refused with a sentence where the path, the name or the model is bad', async () => {
    writeFileSync(join(sandbox.directory, 'cut.safetensors'), readFileSync(FILE).subarray(0, 5_000))
    writeFileSync(join(sandbox.directory, 'old.ckpt'), 'x')
    const cases: [string[], number, RegExp][] = [
      [['add', 'nothing'], 4, /There is no model at .*nothing/],
      [['add', 'cut.safetensors'], 8, /cut\.safetensors is not a valid safetensors file/],
      [['add', 'old.ckpt'], 11, /pickled/],
      [['add', 'fox', '--name', 'My Fox'], 2, /"my-fox" would do/],
      [['show', 'dmeo'], 4, /"dmeo".*demo/],
      [['pull', 'wolf'], 2, /OWNER\/REPO/],
    ]
    for (const [args, exitCode, message] of cases) {
      const finished = await model(...args)
      expect({ args, ...finished }).toMatchObject({
        exitCode,
        stdout: '',
        stderr: expect.stringMatching(message) as string,
      })
      expect(finished.stderr.trim().split('\n')).toHaveLength(1)
    }
    expect((await json<{ models: unknown[] }>('list')).models).toHaveLength(1)
  })

  it('are listed although a record is damaged or a file is gone', async () => {
    await model('add', 'fox', '--name', 'gone')
    renameSync(join(sandbox.directory, 'fox'), join(sandbox.directory, 'moved'))
    writeFileSync(join(records(), 'bad@latest.json'), '{"name"')
    const { stdout, stderr, exitCode } = await model('list')
    renameSync(join(sandbox.directory, 'moved'), join(sandbox.directory, 'fox'))
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^gone +[0-9a-f]{12} +sd1 +missing/m)
    expect(stderr).toMatch(/record of bad is damaged.*"swiftd model rm bad"/)
    expect((await model('show', 'bad')).stderr).toMatch(/damaged/)
    expect((await model('rm', 'bad', 'gone')).exitCode).toBe(0)
    expect((await model('list')).stderr).toBe('')
  })

  it('give the same image as a registered file and as the folder by its path', async () => {
    await model('add', 'Fox One.safetensors', '--config', 'fox', '--name', 'one')
    const pixels = async (reference: string): Promise<Buffer> => {
      const flags = ['--model', reference, '--seed', '3', '--steps', '2', '--width', '64', '--height', '64']
      const finished = await sandbox.run(['generate', 'a red fox', ...flags, '-o', 'out.png'])
      expect(finished).toMatchObject({ exitCode: 0 })
      return sharp(join(sandbox.directory, 'out.png')).raw().toBuffer()
    }
    const fromFolder = await pixels('./fox')
    expect((await pixels('one')).equals(fromFolder)).toBe(true)
    expect((await pixels('on')).equals(fromFolder)).toBe(true)
  })

  it('use the autoencoder that they were registered with', async () => {
    const inpaintVae = resolve('fixtures/goldens/sd15-inpaint/model/vae')
    await model('add', 'fox', '--name', 'other-vae', '--vae', inpaintVae)
    const image = async (reference: string): Promise<Buffer> => {
      const flags = ['--model', reference, '--seed', '3', '--steps', '1', '--width', '64', '--height', '64']
      expect(await sandbox.run(['generate', 'fox', ...flags, '-o', 'vae.png'])).toMatchObject({ exitCode: 0 })
      return sharp(join(sandbox.directory, 'vae.png')).raw().toBuffer()
    }
    const own = await image('./fox')
    expect((await image('other-vae')).equals(own)).toBe(false)
    expect((await image('./fox')).equals(own)).toBe(true)
  })

  it('may be single files without an autoencoder, where one is given', async () => {
    const whole = openSafetensors(FILE)
    const rest = [...whole.tensors.values()].filter(({ name }) => !name.startsWith(ORIGINAL_PREFIX.vae))
    const bare = join(sandbox.directory, 'bare.safetensors')
    await writeSafetensors(
      bare,
      rest.map((tensor) => ({ ...tensor, chunks: () => [whole.bytesOf(tensor).slice()] })),
      {},
    )
    whole.close()
    cpSync(FOLDER, join(sandbox.directory, 'bare'), { recursive: true })
    const flags = ['fox', '--model', bare, '--seed', '3', '--steps', '1', '--width', '64', '--height', '64']
    for (const refused of [await sandbox.run(['generate', ...flags]), await model('add', bare)]) {
      expect(refused).toMatchObject({
        ...{ exitCode: 11, stdout: '', stderr: expect.stringMatching(/^Error: .*no autoencoder .*--vae/) as string },
      })
    }
    const image = async (...args: string[]): Promise<Buffer> => {
      expect(await sandbox.run(['generate', ...args, '-o', 'bare.png'])).toMatchObject({ exitCode: 0 })
      return sharp(join(sandbox.directory, 'bare.png')).raw().toBuffer()
    }
    const expected = await image(...flags.with(2, './fox'))
    expect((await image(...flags, '--vae', FILE)).equals(expected)).toBe(true)
    expect((await image(...flags, '--vae', join(FOLDER, 'vae'))).equals(expected)).toBe(true)
    expect(await model('add', bare, '--name', 'with-vae', '--vae', FILE)).toMatchObject({ exitCode: 0 })
    expect((await image(...flags.with(2, 'with-vae'))).equals(expected)).toBe(true)
  })

  describe('pulled from a hub', () => {
    let hub: HubServer
    const pull = (...args: string[]): Promise<Finished> =>
      sandbox.run(['model', 'pull', ...args], { env: { HF_ENDPOINT: hub.url } })

    beforeAll(async () => {
      hub = await startHubServer({ repository: 'me/tiny-fox', files: filesOf(FOLDER) })
    })
    afterAll(() => hub.close())

    it('show their progress on stderr, and go with their files', async () => {
      const pulled = await pull('me/tiny-fox')
      expect(pulled).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Pulled tiny-fox \(sd1, /) as string })
      expect(pulled.stderr).toMatch(/^100% of 1\.3 MB, \S+ \S+, vae\/diffusion_pytorch_model\.safetensors$/m)
      expect(await pull('me/tiny-fox', '--quiet')).toMatchObject({ exitCode: 0, stderr: '' })
      expect((await model('show', 'tiny')).stdout).toMatch(/^pulled from +me\/tiny-fox@[0-9a-f]{40}$/m)
      expect((await model('rm', 'tiny-fox')).stdout).toBe('Removed tiny-fox and its files')
      expect(existsSync(join(records(), 'hub/models--me--tiny-fox'))).toBe(false)
    })

    it('fail with a code of their own where the hub cannot be reached', async () => {
      const env = { HF_ENDPOINT: 'http://127.0.0.1:9' }
      const { exitCode, stdout } = await sandbox.run(['model', 'pull', 'me/tiny-fox', '--json'], { env })
      expect(exitCode).toBe(14)
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'DOWNLOAD_FAILED' } })
    })

    it('stop at SIGINT and go on later', async () => {
      hub.faults = { breakAfter: { bytes: 1, times: Infinity } }
      Object.assign(sandbox.env, { HF_ENDPOINT: hub.url })
      const pulling = sandbox.start(['model', 'pull', 'me/tiny-fox'])
      await new Promise<void>((done) => {
        pulling.stderr?.on('data', (text) => /model\.safetensors/.test(String(text)) && done())
      })
      pulling.kill('SIGINT')
      expect(await pulling).toMatchObject({ exitCode: 130 })
      hub.faults = {}
      expect(await pull('me/tiny-fox')).toMatchObject({ exitCode: 0 })
    })
  })
})
