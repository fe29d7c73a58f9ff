import { Flags } from '@oclif/core'
import { formatBytes } from '../daemon/models/format.js'
import { LIMITS } from '../daemon/protocol/limits.js'
import type { Plan, PlanCandidate, PlanRequest } from '../daemon/protocol/plan.js'
import { BaseCommand } from './_shared/base-command.js'
import { numberFlag } from './_shared/flags.js'
import { flatten, listFlag } from './_shared/list-flag.js'
import { modelReference } from './_shared/model-reference.js'
import { resolvedFlagDefault, settingFlag } from './_shared/setting-values.js'
import { formatColumns } from './_shared/table.js'
import { useDaemon } from './_shared/use-daemon.js'

export default class Devices extends BaseCommand {
  static override summary = 'List the devices of the daemon, what they do, and where the next job would run.'

  static override description =
    'The setting "devices" says which there are, such as cpu:0=2,cpu:1=2; it takes effect by "daemon restart". With ' +
    '--explain the stages of the model and of the ControlNets are measured where that was not done yet, and all placements ' +
    'are listed with the step time that follows. Exits with 3 if the daemon does not run.'

  static override examples = [
    '<%= config.bin %> devices',
    '<%= config.bin %> devices --json',
    '<%= config.bin %> devices --explain --model demo --control canny',
  ]

  static override flags = {
    explain: Flags.boolean({
      description: 'Show the placements that a job can have, with their predicted step times.',
    }),
    model: Flags.string({
      description: 'Name or path of the model.',
      ...settingFlag('model'),
      helpValue: 'NAME|PATH',
    }),
    width: numberFlag('width', { description: 'Pixels.', ...settingFlag('width'), range: LIMITS.width }),
    height: numberFlag('height', { description: 'Pixels.', ...settingFlag('height'), range: LIMITS.height }),
    control: listFlag({
      description: 'A ControlNet, by its name or path.',
      env: 'SWIFTD_DEVICES_CONTROL',
      separator: ';',
      helpValue: 'NAME',
      helpGroup: 'FLAGS',
      parse: modelReference,
    }),
    n: numberFlag('n', { char: 'n', description: 'Images in one batch.', env: 'SWIFTD_N', range: LIMITS.numImages }),
    'guidance-scale': numberFlag('guidance-scale', {
      description: 'Whether there is guidance: 1 turns it off.',
      ...settingFlag('guidance-scale'),
      range: LIMITS.guidanceScale,
    }),
    'latent-parallel': Flags.boolean({
      description: 'Plan for two devices, or for one; with --explain the default is auto, which takes what is faster.',
      default: resolvedFlagDefault('latent-parallel') as () => Promise<boolean>,
      noCacheDefault: true,
      allowNo: true,
    }),
  }

  async run(): Promise<Plan> {
    const { flags } = await this.parse(Devices)
    const latentParallel =
      (flags['latent-parallel'] as PlanRequest['latentParallel']) ?? (flags.explain ? 'auto' : false)
    const request: PlanRequest = {
      ...{ latentParallel, measure: flags.explain, width: flags.width, height: flags.height, numImages: flags.n },
      ...{ controls: flatten<string>(flags.control), guidanceScale: flags['guidance-scale'] },
      ...(flags.model !== undefined && { model: modelReference(flags.model) }),
    }
    const plan = await useDaemon((client) => client.plan(request))
    if (!this.jsonEnabled()) this.log(flags.explain ? explanation(plan) : overview(plan))
    return plan
  }
}

const COLUMNS = ['DEVICE', 'THREADS', 'STATE', 'JOB', 'ROLES', 'MEMORY', 'PID', 'RESTARTS', 'LAST FAILURE']

function overview(plan: Plan): string {
  return [formatColumns([COLUMNS, ...plan.devices.map(row)]), '', describeChoice(plan), ...plan.notes].join('\n')
}

function row({
  name,
  threads,
  roles,
  state,
  jobId = '',
  memory,
  pid,
  restarts,
  reason = '',
}: Plan['devices'][number]): string[] {
  const process = pid === undefined ? '' : String(pid)
  return [name, String(threads), state, jobId, roles.join(', '), amount(memory), process, String(restarts), reason]
}

/** What is taken of a device's memory: `5.1 GB of 19.3 GB`. */
function amount(memory: Plan['devices'][number]['memory']): string {
  if (!memory) return ''
  const of = memory.limitBytes === undefined ? '' : ` of ${formatBytes(memory.limitBytes)}`
  return formatBytes(memory.usedBytes) + of
}

function describeChoice({ model, width, height, chosen }: Plan): string {
  if (!chosen) return `The next job of ${model} at ${width}x${height} has to wait.`
  return `The next job of ${model} at ${width}x${height}: ${chosen.description}.`
}

/** The candidates with the choice marked. */
function explanation(plan: Plan): string {
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
