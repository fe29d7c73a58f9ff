import { formatBytes } from '../../../daemon/models/format.js'
import type { Plan, PlanCandidate } from '../../../daemon/protocol/plan.js'
import { isGpu } from '../../../daemon/workers/devices.js'
import { formatColumns } from '../table.js'

const COLUMNS = ['DEVICE', 'THREADS', 'PRECISION', 'STATE', 'JOB', 'ROLES', 'MEMORY', 'PID', 'RESTARTS', 'LAST FAILURE']

/** The daemon's devices, and where the next job would run. */
export function overview(plan: Plan): string {
  return [formatColumns([COLUMNS, ...plan.devices.map(row)]), '', describeChoice(plan), ...plan.notes].join('\n')
}

function row({
  name,
  threads,
  precision,
  roles,
  state,
  jobId = '',
  memory,
  pid,
  restarts,
  reason = '',
}: Plan['devices'][number]): string[] {
  const process = pid === undefined ? '' : String(pid)
  // Those of a GPU are the host's, and nobody's choice.
  const cores = isGpu(name) ? '' : String(threads)
  return [
    name,
    cores,
    precision ?? '',
    state,
    jobId,
    roles.join(', '),
    amount(memory),
    process,
    String(restarts),
    reason,
  ]
}

/** What is taken of a device's memory: `5.1 GB of 19.3 GB`. */
function amount(memory: Plan['devices'][number]['memory']): string {
  if (!memory) return ''
  const of = memory.limitBytes === undefined ? '' : ` of ${formatBytes(memory.limitBytes)}`
  return formatBytes(memory.usedBytes) + of
}

function describeChoice({ model, width, height, chosen }: Plan): string {
  if (!chosen) return `The next job of ${model} at ${width}x${height} has to wait.`
  const text = chosen.text === undefined ? '' : `, text encoders and autoencoder on ${chosen.text}`
  return `The next job of ${model} at ${width}x${height}: ${chosen.description}${text}.`
}

/** The candidates with the choice marked. */
export function explanation(plan: Plan): string {
  const { candidates, chosen, measured, notes } = plan
  const rows = candidates.map((candidate) => {
    const { description, predictedStepMs } = candidate
    const ms = predictedStepMs === undefined ? 'unknown' : predictedStepMs.toFixed(1)
    return [isSame(candidate, chosen) ? '*' : '', ms, description]
  })
  const table = formatColumns([['', 'MS/STEP', 'PLACEMENT'], ...rows], Infinity)
  const rule = measured
    ? []
    : ['Not everything could be measured, so the placement is by rule; busy devices are not measured.']
  return [table, '', describeChoice(plan), ...rule, ...notes].join('\n')
}

/** Devices that are equal take each other's place, so the choice may be none of the candidates. */
function isSame({ description }: PlanCandidate, chosen: PlanCandidate | undefined): boolean {
  return description === chosen?.description
}
