import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DaemonClient } from '../src/daemon/client/client.js'
import type { ResolvedRequest } from '../src/daemon/protocol/request.js'
import { encodePng } from '../src/engine/image/png.js'
import { createSandbox, type Sandbox } from './support/sandbox.js'

let sandbox: Sandbox
let client: DaemonClient

beforeAll(async () => {
  sandbox = createSandbox()
  await sandbox.run(['daemon', 'start'])
  client = sandbox.connect()
  const picture = await encodePng({ width: 128, height: 128, data: new Uint8Array(3 * 128 * 128).fill(90) })
  writeFileSync(join(sandbox.directory, 'edges.png'), picture)
})
afterAll(() => sandbox.dispose())

/** The request that the daemon resolved for a command line. */
async function requestOf(
  args: readonly string[],
  env: Record<string, string> = {},
  prompt = 'a star',
): Promise<ResolvedRequest> {
  const all = ['generate', prompt, '--steps', '1', '-o', 'a.png', '-q', '--json', ...args]
  const { stdout } = await sandbox.run(all, { env })
  return (await client.job((JSON.parse(stdout) as { jobId: string }).jobId)).request
}

describe('flags of generate', () => {
  it('fill every field of the request', async () => {
    const request = await requestOf([
      ...['--negative-prompt', 'n', '--prompt-2', 'p2', '--negative-prompt-2', 'n2', '--clip-skip', '1'],
      ...['--emphasis', 'no-norm', '--scheduler', 'DDIM', '--eta', '0.5', '--guidance-scale', '3'],
      ...['--guidance-rescale', '0.25', '--seed', '5', '--rng', 'nv', '--noise-convention', 'a1111'],
      ...['--variation-seed', '6', '--variation-strength', '0.5', '--vae', 'demo', '--vae-tiling', 'off'],
      ...['--width', '64', '--height', '72', '--image', 'edges.png', '--mask', 'edges.png', '--strength', '1'],
    ])
    const source = { path: join(sandbox.directory, 'edges.png'), width: 128, height: 128 }
    expect(request).toMatchObject({
      ...{ prompt: 'a star', negativePrompt: 'n', prompt2: 'p2', negativePrompt2: 'n2', clipSkip: 1 },
      ...{ emphasis: 'no-norm', scheduler: 'DDIM', eta: 0.5, guidanceScale: 3, guidanceRescale: 0.25, seed: 5 },
      ...{ rng: 'nv', noiseConvention: 'a1111', variationSeed: 6, variationStrength: 0.5, vae: 'demo' },
      ...{ vaeTiling: 'off', width: 64, height: 72, image: source, mask: source, strength: 1 },
    })
  })

  it('may be repeated, and lists come from the environment, too', async () => {
    const expected = [
      { name: 'stripes', scale: 0.8 },
      { name: 'neon', textEncoderScale: 0 },
    ]
    const typed = await requestOf(['--lora', 'stripes:0.8', '--lora', 'neon@te=0', '--lora-bound', '0.5'])
    expect(typed).toMatchObject({ loras: expected, loraBound: 0.5 })
    const set = await requestOf([], { SWIFTD_LORA: 'stripes:0.8; neon@te=0' })
    expect(set.loras).toMatchObject(expected)
  })

  it('give ControlNets their pictures', async () => {
    const { controls } = await requestOf(['--control', 'canny=edges.png:0.8:0-0.6', '--control', 'depth=edges.png'])
    expect(controls).toMatchObject([
      { controlNet: 'canny', scale: 0.8, start: 0, end: 0.6, image: { path: join(sandbox.directory, 'edges.png') } },
      { controlNet: 'depth', scale: 1 },
    ])
  })

  it('read LoRA tags in both syntaxes', async () => {
    for (const syntax of ['diffusers', 'a1111']) {
      const { loras } = await requestOf(['--prompt-syntax', syntax], {}, 'a star <lora:neon:0.5>')
      expect(loras).toMatchObject([{ name: 'neon', scale: 0.5 }])
    }
  })

  it('on the command line set aside what the environment contradicts', async () => {
    const { loraAt, loraBound } = await requestOf(['--lora-at', '1'], { SWIFTD_LORA_BOUND: '2' })
    expect([loraAt, loraBound]).toEqual([1, undefined])
  })

  it('have their defaults in the configuration', async () => {
    const settings = {
      steps: '2',
      'noise-convention': 'a1111',
      'controlnet-device': 'cpu:0',
      'latent-parallel': 'false',
    }
    for (const [key, value] of Object.entries(settings)) await sandbox.run(['config', 'set', key, value])
    const request = await requestOf(['--rng', 'nv'])
    expect(request).toMatchObject({
      ...{ numInferenceSteps: 1, noiseConvention: 'a1111', rng: 'nv', latentParallel: false },
      placement: { controlNetDevices: ['cpu:0'] },
    })
    const again = await sandbox.run(['generate', '--from', 'a.png', '--noise-convention', 'diffusers', '--json', '-q'])
    const { jobId } = JSON.parse(again.stdout) as { jobId: string }
    expect((await client.job(jobId)).request).toMatchObject({ numInferenceSteps: 1, noiseConvention: 'diffusers' })
    for (const key of Object.keys(settings)) await sandbox.run(['config', 'unset', key])
  })
})
