import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CONTROLNETS, findControlNet, findLora, listControlNets, listLoras, LORAS } from './adapters.js'
import { registerAdapter } from './register.js'
import { removeNamed } from './remove.js'

const goldens = fileURLToPath(new URL('../../../fixtures/goldens/', import.meta.url))
const LORA = join(goldens, 'sd15/lora/a.peft.safetensors')
const CONTROLNET = join(goldens, 'sd15/controlnet-a')

describe('names of LoRAs and ControlNets', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'swiftd-adapters-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const loras = () => LORAS.openStore(join(directory, 'loras'))
  const controlNets = () => CONTROLNETS.openStore(join(directory, 'controlnets'))
  const addLora = (name?: string, path = LORA) =>
    registerAdapter(LORAS, { path, name }, { store: loras(), cacheDirectory: join(directory, 'cache') })

  it('begin with those of the demo model', () => {
    expect(listLoras(loras()).map(({ name }) => name)).toEqual(['stripes', 'neon'])
    expect(listControlNets(controlNets()).map(({ name }) => name)).toEqual(['canny', 'depth'])
    for (const { path } of [findLora('str', loras()), findControlNet('d', controlNets())]) {
      expect(existsSync(path)).toBe(true)
    }
    expect(() => removeNamed(LORAS, loras(), 'neon')).toThrow(/LoRA "neon" comes with swiftd/)
  })

  it('are given, found by their beginning, and taken away', async () => {
    expect((await addLora('fox')).record).toMatchObject({ name: 'fox:latest', path: LORA, dtype: 'F32' })
    expect(findLora('fo', loras())).toEqual({ name: 'fox', path: LORA })
    const context = { store: controlNets(), cacheDirectory: join(directory, 'cache') }
    await registerAdapter(CONTROLNETS, { path: CONTROLNET, name: 'fox' }, context)
    expect(findControlNet('fox', controlNets())).toEqual({ name: 'fox', path: CONTROLNET })
    expect(removeNamed(LORAS, loras(), 'fox')).toEqual({ name: 'fox', filesDeleted: false })
    expect(existsSync(LORA)).toBe(true)
    expect(() => findLora('fox', loras())).toThrow(expect.objectContaining({ code: 'MODEL_NOT_FOUND' }))
    expect(findControlNet('fox', controlNets()).path).toBe(CONTROLNET)
  })

  it('are suggested for one that there is not', () => {
    expect(() => findLora('stirpes', loras())).toThrow(/no LoRA "stirpes".*stripes/)
    expect(() => findControlNet('cany', controlNets())).toThrow(/no ControlNet "cany".*canny/)
  })

  it('stay with their owner', async () => {
    await addLora('fox')
    const other = join(goldens, 'sd15/lora/d.peft.safetensors')
    await expect(addLora('fox', other)).rejects.toThrow(/"fox" belongs to the LoRA at .*swiftd lora rm fox/)
    await expect(addLora('neon')).rejects.toThrow(/the LoRA that comes with swiftd/)
    await expect(addLora('wolf', CONTROLNET)).rejects.toMatchObject({ code: 'UNSUPPORTED_MODEL' })
  })

  it('are not needed for absolute paths, which must exist and be no pickles', () => {
    expect(findLora(LORA, loras())).toEqual({ name: LORA, path: LORA })
    expect(() => findLora('/no/such.safetensors', loras())).toThrow(/no LoRA at/)
    for (const ending of ['ckpt', 'pt', 'bin']) {
      const pickle = join(directory, `x.${ending}`)
      writeFileSync(pickle, 'x')
      expect(() => findLora(pickle, loras())).toThrow(/pickled/)
      expect(() => findControlNet(pickle, controlNets())).toThrow(/pickled/)
    }
  })
})
