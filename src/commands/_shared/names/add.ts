import { resolve } from 'node:path'
import { Flags } from '@oclif/core'
import type { AdapterKind } from '../../../daemon/models/adapters.js'
import { formatBytes, formatCount } from '../../../daemon/models/format.js'
import { shortModelName } from '../../../daemon/models/names.js'
import type { AdapterRecord } from '../../../daemon/models/record.js'
import { registerAdapter, type Registered } from '../../../daemon/models/register.js'
import { daemonPaths } from '../../../daemon/paths.js'
import type { BaseCommand } from '../base-command.js'

/** What --json prints. */
export interface AddAdapterResult extends AdapterRecord {
  readonly parameters: number
}

/** Flags of the commands that give LoRAs and ControlNets names. */
export const ADD_FLAGS = {
  name: Flags.string({
    description: 'Its name, perhaps with a :tag. By default what the file or folder is called.',
    env: 'SWIFTD_ADD_NAME',
  }),
}

/** Registers a LoRA or ControlNet and tells what it is. */
export async function addAdapter(
  command: BaseCommand,
  kind: AdapterKind,
  { path, name }: { readonly path: string; readonly name?: string },
): Promise<AddAdapterResult> {
  const context = { store: kind.openStore(), cacheDirectory: daemonPaths().cacheDirectory }
  const added = await registerAdapter(kind, { path: resolve(path), name }, context)
  if (!command.jsonEnabled()) command.log(`Added ${summarise(added)}`)
  return { ...added.record, parameters: added.description.parameters }
}

function summarise({ record, description }: Registered<AdapterRecord>): string {
  const { family, parameters, dtype, bytes } = description
  const details = [...(family ? [family] : []), `${formatCount(parameters)} parameters`, dtype, formatBytes(bytes)]
  return `${shortModelName(record.name)} (${details.join(', ')})`
}
