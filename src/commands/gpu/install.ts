import { Flags } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import { installCuda } from '../../daemon/gpus/install.js'
import { listGpuDevices, type MachineDevice } from '../../daemon/gpus/list.js'
import { isNvidiaDriverLoaded } from '../../daemon/gpus/machine.js'
import { CUDA_NOT_OFFERED, describeFailure, NO_NVIDIA_DRIVER } from '../../daemon/gpus/reasons.js'
import { isCudaInstalled, isCudaOffered, runtimeLibraryDirectory } from '../../daemon/gpus/runtime-package.js'
import { BaseCommand } from '../_shared/base-command.js'
import { describeHardware } from '../_shared/devices/machine-table.js'

/** What --json prints. */
export interface GpuInstallResult {
  /** False if it was there already. */
  readonly installed: boolean
  readonly directory: string
  /** The GPUs that CUDA was tried on; none where there is no driver. */
  readonly devices: readonly MachineDevice[]
}

export default class GpuInstall extends BaseCommand {
  static override summary = 'Install the CUDA provider for NVIDIA GPUs, and prove that it computes.'

  static override description =
    'Runs the installation of onnxruntime-node, which downloads the provider from nuget.org, and then a small graph on each ' +
    'NVIDIA GPU. Where it is installed already, only the graph is run. The driver, CUDA 12 and cuDNN 9 are not part of it. ' +
    'Linux on x64 only. Other GPUs need no installation: they are webgpu:N.'

  static override examples = ['<%= config.bin %> gpu install', '<%= config.bin %> gpu install --force']

  static override flags = {
    force: Flags.boolean({
      description: 'Install it again, or where no NVIDIA driver is loaded.',
      env: 'SWIFTD_FORCE',
    }),
    quiet: Flags.boolean({ char: 'q', description: 'Show no progress.', env: 'SWIFTD_QUIET' }),
  }

  async run(): Promise<GpuInstallResult> {
    const { flags } = await this.parse(GpuInstall)
    if (!isCudaOffered()) throw unavailable(CUDA_NOT_OFFERED)
    const driver = isNvidiaDriverLoaded()
    if (!driver && !flags.force) {
      const { reason, remedy } = NO_NVIDIA_DRIVER
      throw unavailable({ reason, remedy: `${remedy}, or install it all the same with --force` })
    }
    const wanted = flags.force || !isCudaInstalled()
    const onLine = (line: string): void => void (flags.quiet || process.stderr.write(`${line}\n`))
    if (wanted) await installCuda({ onLine })
    const devices = driver ? await proveCuda() : []
    const directory = runtimeLibraryDirectory()
    if (!this.jsonEnabled()) this.log(describe(wanted, directory, devices))
    return { installed: wanted, directory, devices }
  }
}

function unavailable(failure: Parameters<typeof describeFailure>[1]): SwiftdError {
  return new SwiftdError('DEVICE_UNAVAILABLE', describeFailure('The CUDA provider', failure))
}

/** Runs a graph on each GPU; one that computes is enough. */
async function proveCuda(): Promise<MachineDevice[]> {
  const { devices: listed, failure: unlisted } = await listGpuDevices({ check: true })
  const devices = listed.filter(({ provider }) => provider === 'cuda')
  const [first] = devices
  if (devices.some(({ usable }) => usable === true)) return devices
  const { name, reason = unlisted ?? 'no NVIDIA GPU was found', remedy } = first ?? { name: 'cuda:0' }
  const failure = describeFailure(name, { reason, ...(remedy !== undefined && { remedy }) })
  throw new SwiftdError('DEVICE_UNAVAILABLE', `The CUDA provider is installed, but ${failure}`)
}

function describe(installed: boolean, directory: string, devices: readonly MachineDevice[]): string {
  const what = installed ? `The CUDA provider was installed in ${directory}` : 'The CUDA provider is installed already'
  if (devices.length === 0) return `${what}; without a driver it was not tried`
  const lines = devices.map((device) =>
    device.usable
      ? `${device.name}: ${describeHardware(device)}, computes`
      : describeFailure(device.name, { reason: device.reason ?? '' }),
  )
  const usable = devices.flatMap(({ name, usable }) => (usable ? [name] : []))
  const use = `To use ${usable.length === 1 ? 'it' : 'them'}: swiftd config set devices ${usable.join(',')}, then swiftd daemon restart`
  return [what, ...lines, use].join('\n')
}
