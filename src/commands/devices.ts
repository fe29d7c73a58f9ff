import { Flags } from '@oclif/core'
import { LIMITS } from '../daemon/protocol/limits.js'
import { isNotRunning } from '../daemon/client/transport.js'
import { listGpuDevices, type MachineDevice } from '../daemon/gpus/list.js'
import type { Plan, PlanRequest } from '../daemon/protocol/plan.js'
import { BaseCommand } from './_shared/base-command.js'
import { cpuDevice, machineTable } from './_shared/devices/machine-table.js'
import { explanation, overview } from './_shared/devices/plan-tables.js'
import { numberFlag } from './_shared/flags.js'
import { flatten, listFlag } from './_shared/list-flag.js'
import { modelReference } from './_shared/model-reference.js'
import { resolvedFlagDefault, settingFlag } from './_shared/setting-values.js'
import { useDaemon } from './_shared/use-daemon.js'

/** What --json prints: the daemon's plan, where it runs, and what the machine has. */
export type DevicesResult = ({ readonly running: false } | ({ readonly running: true } & Plan)) & {
  /** Left out with --explain, where nobody asked for it: looking at GPUs may take seconds. */
  readonly machine?: readonly MachineDevice[]
  /** What kept that list from being complete. */
  readonly machineFailure?: string
}

export default class Devices extends BaseCommand {
  static override summary =
    'List the devices of the daemon and of this machine, what they do, and where the next job would run.'

  static override description =
    'Without a daemon only the machine is told of. The setting "devices" says which the daemon uses, such as cuda:0,cuda:1 or cpu:0=2,cpu:1=2; it takes effect by "daemon ' +
    'restart". Of each GPU it is told what keeps it from being used, as far as files and versions tell; with --check a small ' +
    'graph is run on it. With --explain the stages of the model and of the ControlNets are measured where that was not done ' +
    'yet, and all placements are listed with the step time that follows; it needs the daemon, and exits with 3 if that does ' +
    'not run.'

  static override examples = [
    '<%= config.bin %> devices',
    '<%= config.bin %> devices --check',
    '<%= config.bin %> devices --json',
    '<%= config.bin %> devices --explain --model demo --control canny',
  ]

  static override flags = {
    check: Flags.boolean({
      description: 'Run a small graph on each GPU that nothing speaks against.',
      env: 'SWIFTD_DEVICES_CHECK',
    }),
    explain: Flags.boolean({
      description: 'Show the placements that a job can have, with their predicted step times.',
      // What is left out would be true for the daemon, which then measures.
      default: false,
      exclusive: ['check'],
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

  async run(): Promise<DevicesResult> {
    const { flags } = await this.parse(Devices)
    const latentParallel =
      (flags['latent-parallel'] as PlanRequest['latentParallel']) ?? (flags.explain ? 'auto' : false)
    const request: PlanRequest = {
      ...{ latentParallel, measure: flags.explain, width: flags.width, height: flags.height, numImages: flags.n },
      ...{ controls: flatten<string>(flags.control), guidanceScale: flags['guidance-scale'] },
      ...(flags.model !== undefined && { model: modelReference(flags.model) }),
    }
    const plan = await useDaemon((client) => client.plan(request)).catch((error: unknown) => {
      if (flags.explain || !isNotRunning(error)) throw error
      return undefined
    })
    if (plan && flags.explain) {
      if (!this.jsonEnabled()) this.log(explanation(plan))
      return { running: true, ...plan }
    }
    const { devices, failure } = await listGpuDevices({ check: flags.check })
    const machine = [cpuDevice(), ...devices].map((each) => withProof(each, plan))
    if (!this.jsonEnabled()) this.log(report(plan, machine, failure))
    const known = plan ? { running: true as const, ...plan } : { running: false as const }
    return { ...known, machine, ...(failure !== undefined && { machineFailure: failure }) }
  }
}

/** The daemon's worker has computed on its device, or it would not be ready. */
function withProof(device: MachineDevice, plan: Plan | undefined): MachineDevice {
  const used = plan?.devices.some(({ name, state }) => name === device.name && (state === 'idle' || state === 'busy'))
  return used && device.usable === null ? { ...device, usable: true } : device
}

function report(plan: Plan | undefined, machine: readonly MachineDevice[], failure: string | undefined): string {
  const daemon = plan ? overview(plan) : 'The daemon is not running; this is what it can use:'
  return [daemon, '', ...(plan ? ['This machine:'] : []), machineTable(machine, failure)].join('\n')
}
