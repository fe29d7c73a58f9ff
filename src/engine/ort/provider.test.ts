import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PROVIDERS } from './provider.js'

const engine = join(import.meta.dirname, '..')

/** Files of the engine whose code knows providers by name. */
function filesThatName(...names: string[]): string[] {
  const files = readdirSync(engine, { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => /(?<!\.test)\.ts$/.test(file))
    .filter((file) => names.some((name) => readFileSync(join(engine, file), 'utf8').includes(`'${name}'`)))
    .sort()
}

describe('the providers', () => {
  it('differ only in their name, memory, operators and how a session gets them', () => {
    expect(filesThatName('cuda', 'webgpu', 'Cuda', 'WebGPU_Buf', 'WebGPU')).toEqual([
      'graph/attention.ts',
      'graph/layers.ts',
      'graph/norms.ts',
      'graph/residual-sum.ts',
      'graph/target.ts',
      'ort/provider.ts',
      'provider-name.ts',
    ])
    const { cuda, webgpu } = PROVIDERS
    expect(Object.keys(cuda).sort()).toEqual(Object.keys(webgpu).sort())
    expect(cuda).toMatchObject({ hasOwnMemory: true, memory: 'Cuda' })
    expect(webgpu).toMatchObject({ hasOwnMemory: true, memory: 'WebGPU_Buf' })
  })
})
