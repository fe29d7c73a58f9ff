import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MODELS, openDemoEngine, type DemoEngine, type DemoRequest } from '../../../test/support/demo-engine.js'
import { blurredEdges, edgeF1, edgePixels, meanBrightness } from '../../../test/support/measures.js'
import { decodeImage } from '../image/png.js'

const examples = join(MODELS, 'examples')

function linesOf(file: string): string[] {
  return readFileSync(join(examples, file), 'utf8').trim().split('\n')
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

describe('the demo model', () => {
  let engine: DemoEngine

  beforeAll(async () => {
    engine = await openDemoEngine()
  })
  afterAll(() => engine.release())

  /** Mean edge F1 of the pictures of some prompts over the card's three scenes, without and with the scene's ControlNet. */
  async function edgeScores(
    prompts: readonly string[],
    guidanceScale: number,
  ): Promise<{ without: number; with: number }> {
    const scores: { without: number; with: number }[] = []
    for (const [scene, prompt] of prompts.entries()) {
      const hint = await decodeImage(readFileSync(join(examples, `canny_${scene}.png`)))
      const score = async (request: DemoRequest): Promise<number> => {
        const { images } = await engine.generate(request)
        return mean(await Promise.all(images.map(async (each) => edgeF1(await blurredEdges(each), edgePixels(hint)))))
      }
      const request = { prompt, seeds: [5n], numImagesPerPrompt: 2, guidanceScale }
      const without = await score(request)
      const guided = await engine.withControl('canny', hint, (control) =>
        score({ ...request, controls: [{ control, scale: 1, guessMode: false, start: 0, end: 1 }] }),
      )
      scores.push({ without, with: guided })
    }
    return { without: mean(scores.map((each) => each.without)), with: mean(scores.map((each) => each.with)) }
  }

  it('follows the edges of a canny ControlNet where the prompt names the scene', async () => {
    const score = await edgeScores(linesOf('control.txt').slice(1, 4), 5)
    expect(score.with).toBeGreaterThan(0.7)
    expect(score.with).toBeGreaterThan(score.without + 0.25)
  })

  it('follows them where the prompt says nothing of it', async () => {
    // Guidance would draw the picture towards whatever the model takes the empty words for.
    const score = await edgeScores(new Array<string>(3).fill('a shape on a background'), 1)
    expect(score.with).toBeGreaterThan(score.without + 0.3)
  })

  it('is darkened by the LoRA neon, and gets more edges but not less light by the LoRA stripes', async () => {
    const request = { prompt: linesOf('prompts.txt'), seeds: [3n] }
    const look = async (more: Partial<DemoRequest> = {}): Promise<{ brightness: number; edges: number }> => {
      const { images } = await engine.generate({ ...request, ...more })
      const edges = await Promise.all(images.map(async (each) => mean([...(await blurredEdges(each)).data])))
      return { brightness: mean(images.map(meanBrightness)), edges: mean(edges) }
    }
    const plain = await look()
    const neon = await engine.withLora('neon', (prepared) => look({ adapters: { prepared } }))
    const stripes = await engine.withLora('stripes', (prepared) => look({ adapters: { prepared } }))
    // The model card measured 131, 52 and 134.
    expect(plain.brightness).toBeGreaterThan(125)
    expect(neon.brightness).toBeLessThan(70)
    expect(Math.abs(stripes.brightness - plain.brightness)).toBeLessThan(10)
    expect(stripes.edges).toBeGreaterThan(1.2 * plain.edges)
  })
})
