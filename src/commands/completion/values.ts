import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Args } from '@oclif/core'
import { createClient } from '../../daemon/client/client.js'
import { gpuCandidates } from '../../daemon/gpus/candidates.js'
import { quickGpus } from '../../daemon/gpus/machine.js'
import { shortModelName } from '../../daemon/models/names.js'
import { daemonPaths } from '../../daemon/paths.js'
import { BaseCommand } from '../_shared/base-command.js'
import { VALUE_KINDS, type ValueKind } from '../_shared/completion/tree.js'
import { resolveSetting } from '../_shared/setting-values.js'
import { SETTING_KEYS } from '../_shared/settings.js'

/** Nobody waits longer at the tab key. */
const PATIENCE_MS = 100

/** What comes with swiftd. */
const BUILT_IN = { models: ['demo'], loras: ['stripes', 'neon'], controlnets: ['canny', 'depth'] } as const

/** Asked at each press of the tab key, so it reads names only: no record, no schema, and no daemon is started. */
export default class CompletionValues extends BaseCommand {
  static override summary = 'Print the names that a completion script asks for.'

  static override hidden = true

  static override args = {
    kind: Args.string({ description: 'What is named.', required: true, options: [...VALUE_KINDS] }),
  }

  async run(): Promise<{ readonly values: readonly string[] }> {
    const { args } = await this.parse(CompletionValues)
    const values = await namesOf(args.kind as ValueKind).catch(() => [])
    if (!this.jsonEnabled()) for (const value of values) this.log(value)
    return { values }
  }
}

async function namesOf(kind: ValueKind): Promise<readonly string[]> {
  switch (kind) {
    case 'models':
    case 'loras':
    case 'controlnets':
      return [...BUILT_IN[kind], ...registered(kind)]
    case 'settings':
      return SETTING_KEYS
    case 'devices':
      return (
        (await daemonDevices()) ?? (resolveSetting('devices').value ?? ['cpu:0']).map((device) => device.split('=')[0])
      )
    case 'machine-devices':
      return ['cpu:0', ...gpuCandidates({ gpus: quickGpus(), environment: process.env }).map(({ name }) => name)]
    case 'jobs':
      return jobs()
  }
}

/** The names of the store's files say what is registered. */
function registered(kind: keyof typeof BUILT_IN): string[] {
  try {
    const files = readdirSync(join(daemonPaths().dataDirectory, kind)).filter((file) => file.endsWith('.json'))
    return files.map((file) => shortModelName(file.slice(0, -'.json'.length).replace('@', ':')))
  } catch {
    return []
  }
}

/** Those of the daemon, if it runs and tells soon: with a busy worker its status may take half a second. */
async function daemonDevices(): Promise<string[] | undefined> {
  const client = createClient(daemonPaths().socket)
  try {
    const status = await Promise.race([client.status(), sleep(PATIENCE_MS, undefined, { ref: false })])
    return status?.devices.map(({ name }) => name)
  } catch {
    return undefined
  } finally {
    await client.close()
  }
}

async function jobs(): Promise<string[]> {
  const client = createClient(daemonPaths().socket)
  try {
    return (await client.jobs()).map(({ id }) => id).reverse()
  } finally {
    await client.close()
  }
}
