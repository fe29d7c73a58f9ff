import { join } from 'node:path'
import { z } from 'zod'
import { openTokenizer } from '../../../src/engine/text/tokenizer.js'
import type { ParityKind } from '../context.js'
import { measureExact } from '../measure.js'

const caseSchema = z.looseObject({
  tokenizer: z.string(),
  prompt: z.string(),
  ids: z.array(z.number().int()),
  /** Other results that are right too, by the reading that gives them. */
  accepted_alternatives: z.record(z.string(), z.array(z.number().int())).default({}),
})

/** One prompt's token ids, equal to the case's or to one of its accepted alternatives. */
export const tokenizer: ParityKind = async (context) => {
  const golden = caseSchema.parse(context.case)
  const directory = join(context.family.dir, 'model', golden.tokenizer)
  const opened = await context.resource(
    `tokenizer ${directory}`,
    () => openTokenizer(directory),
    () => undefined,
  )
  const actual = tensorOf(opened.encode(golden.prompt).ids)
  const readings = [golden.ids, ...Object.values(golden.accepted_alternatives)]
  const measurements = readings.map((ids) => measureExact('ids', actual, tensorOf(ids)))
  return { measurements: [measurements.find((one) => one.passed) ?? measurements[0]] }
}

function tensorOf(ids: number[]) {
  return { shape: [ids.length], data: Int32Array.from(ids) }
}
