import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SwiftdError } from '../errors.js'
import { readConfig, readTextEncoderConfig, readUnetConfig, readVaeConfig } from './config.js'
import { z } from 'zod'

const model = fileURLToPath(new URL('../../../fixtures/goldens/sd15/model/', import.meta.url))

describe('a config.json', () => {
  let directory: string
  let path: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-config-'))
    path = join(directory, 'config.json')
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  const failure = (read: (path: string) => unknown, text: string): SwiftdError => {
    writeFileSync(path, text)
    try {
      read(path)
    } catch (error) {
      return error as SwiftdError
    }
    throw new Error('the config was accepted')
  }
  const changed = (component: string, changes: Record<string, unknown>): string =>
    JSON.stringify({
      ...(JSON.parse(readFileSync(join(model, component, 'config.json'), 'utf8')) as object),
      ...changes,
    })

  const cases: [string, (path: string) => unknown, string, Record<string, unknown>, RegExp][] = [
    ['a missing field', readUnetConfig, 'unet', { block_out_channels: undefined }, /block_out_channels is missing/],
    [
      'an absurd width',
      readUnetConfig,
      'unet',
      { block_out_channels: [1e9, 8, 8, 8] },
      /block_out_channels\.0 is 1000000000/,
    ],
    ['a negative count', readUnetConfig, 'unet', { layers_per_block: -1 }, /layers_per_block is -1/],
    [
      'a list of the wrong length',
      readUnetConfig,
      'unet',
      { attention_head_dim: [1, 2] },
      /attention_head_dim has 2 entries for 4/,
    ],
    ['heads that do not divide', readUnetConfig, 'unet', { attention_head_dim: 3 }, /of 3 heads does not divide 8/],
    [
      'groups that do not divide',
      readUnetConfig,
      'unet',
      { norm_num_groups: 5 },
      /norm_num_groups of 5 does not divide 8/,
    ],
    ['a block of another kind', readUnetConfig, 'unet', { down_block_types: ['AttnDownBlock2D'] }, /AttnDownBlock2D/],
    [
      'a network that is not built',
      readUnetConfig,
      'unet',
      { class_embed_type: 'timestep' },
      /class_embed_type is "timestep"/,
    ],
    ['a string for a number', readVaeConfig, 'vae', { scaling_factor: 'big' }, /scaling_factor is "big"/],
    [
      'an impossible head count',
      readTextEncoderConfig,
      'text_encoder',
      { num_attention_heads: 5 },
      /of 5 does not divide/,
    ],
  ]
  for (const [what, read, component, changes, message] of cases) {
    it(`with ${what} is refused with the field and its value`, () => {
      const error = failure(read, changed(component, changes))
      expect(error).toMatchObject({ code: 'INVALID_CONFIG' })
      expect(error.message).toMatch(message)
      expect(error.message).toContain(path)
      expect(error.message).not.toContain('\n')
    })
  }

  it('that is not JSON, or not there, is refused', () => {
    expect(failure(readUnetConfig, '{"a": ').message).toMatch(/not valid JSON/)
    expect(failure(readUnetConfig, '[]').message).toMatch(/cannot be used/)
    expect(() => readUnetConfig(join(directory, 'nothing.json'))).toThrow(/Cannot read/)
  })

  it('spells settings out for each block, however they are written', () => {
    writeFileSync(path, changed('unet', { layers_per_block: [2, 2, 2, 2], num_attention_heads: 4 }))
    expect(readUnetConfig(path)).toEqual(readUnetConfig(join(model, 'unet/config.json')))
  })

  it("may hold Python's infinities", () => {
    writeFileSync(path, '{"lambda_min_clipped": -Infinity, "list": [NaN, 1]}')
    expect(readConfig(path, z.looseObject({}))).toEqual({ lambda_min_clipped: null, list: [null, 1] })
  })
})
