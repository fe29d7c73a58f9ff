import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { format } from 'prettier'
import { openDemoEngine, MODELS, type DemoEngine } from '../test/support/demo-engine.js'
import { cosine } from '../test/support/measures.js'
import { ssim } from '../test/support/ssim.js'
import type { GenerateResult } from '../src/engine/pipeline/generate.js'
import type { LocalAdapters } from '../src/engine/pipeline/local-stages.js'
import { plotSvg, type LinePlot } from './plot.js'

const USAGE = 'Usage: npx tsx bench/lora-quality.ts [--docs DIR] [--json]'

const LORAS = ['stripes', 'neon'] as const
const STEPS = 20

/** Where docs/lora-bound.md keeps the table. */
const TABLE = /(<!-- table -->\n)[^]*(<!-- end of table -->)/

/** How much pictures and latents agree with those of k = 0, one value for each prompt. */
interface Agreement {
  readonly k: number
  readonly ssim: readonly number[]
  readonly cosine: readonly number[]
}

/** Measures what it costs to have a LoRA take effect at step k: prints a table, and with --docs writes it and the plot. */
async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { docs: { type: 'string' }, json: { type: 'boolean', default: false } },
  })
  if (positionals.length > 0) {
    console.error(`There is nothing to name here.\n${USAGE}`)
    return 2
  }
  const engine = await openDemoEngine()
  try {
    const results: Record<string, readonly Agreement[]> = {}
    for (const name of LORAS) {
      results[name] = await engine.withLora(name, (prepared) => measureLora(engine, prepared))
    }
    const markdown = await format(table(results), { parser: 'markdown' })
    console.log(values.json ? JSON.stringify(results) : markdown)
    if (values.docs !== undefined) {
      const page = join(values.docs, 'lora-bound.md')
      writeFileSync(page, readFileSync(page, 'utf8').replace(TABLE, `$1\n${markdown}\n$2`))
      writeFileSync(join(values.docs, 'images/lora-bound.svg'), plot(results))
    }
  } finally {
    await engine.release()
  }
  return 0
}

async function measureLora(engine: DemoEngine, prepared: LocalAdapters): Promise<Agreement[]> {
  const prompts = readFileSync(join(MODELS, 'examples/prompts.txt'), 'utf8').trim().split('\n')
  const run = (k: number): Promise<GenerateResult> =>
    engine.generate({
      prompt: prompts,
      seeds: prompts.map((_, index) => BigInt(index)),
      numInferenceSteps: STEPS,
      adapters: { prepared, fromStep: k },
    })
  const exact = await run(0)
  const agreements: Agreement[] = []
  for (let k = 0; k <= STEPS; k++) {
    console.error(`${prepared.key}: in effect at step ${k} of ${STEPS}`)
    const late = await run(k)
    const perImage = exact.latents.length / prompts.length
    const latentsOf = ({ latents }: GenerateResult, image: number): Float32Array =>
      latents.subarray(image * perImage, (image + 1) * perImage)
    agreements.push({
      k,
      ssim: prompts.map((_, image) => ssim(late.images[image], exact.images[image])),
      cosine: prompts.map((_, image) => cosine(latentsOf(late, image), latentsOf(exact, image))),
    })
  }
  return agreements
}

function table(results: Readonly<Record<string, readonly Agreement[]>>): string {
  const names = Object.keys(results)
  const columns = names.flatMap((name) => [`SSIM, ${name}`, `cosine, ${name}`])
  const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`
  const cell = (values: readonly number[]): string => {
    const { mean, deviation } = spread(values)
    return `${mean.toFixed(3)} ± ${deviation.toFixed(3)} (${Math.min(...values).toFixed(2)})`
  }
  const rows = Array.from({ length: STEPS + 1 }, (_, k) =>
    row([k, ...names.flatMap((name) => [cell(results[name][k].ssim), cell(results[name][k].cosine)])]),
  )
  return [row(['k', ...columns]), row(['--:', ...columns.map(() => '--')]), ...rows].join('\n')
}

function plot(results: Readonly<Record<string, readonly Agreement[]>>): string {
  const panel = (title: string, yLabel: string, of: 'ssim' | 'cosine', yMin: number): LinePlot => ({
    kind: 'lines',
    title,
    yLabel,
    xLabel: `step at which the LoRA takes effect, of ${STEPS}`,
    yMin,
    yMax: 1,
    series: Object.entries(results).map(([name, agreements]) => ({
      name,
      points: agreements.map((each) => {
        const { mean, deviation } = spread(each[of])
        return { x: each.k, y: mean, low: mean - deviation, high: Math.min(1, mean + deviation) }
      }),
    })),
  })
  return plotSvg([
    panel('Pictures', 'SSIM with step 0', 'ssim', 0),
    panel('Final latents', 'cosine with step 0', 'cosine', 0),
  ])
}

function spread(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  return { mean, deviation: Math.sqrt(square) }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
