// Writes oclif.manifest.json, the end of a build: with it a command loads itself alone, without it oclif loads all
// commands to learn what there is. Flags whose defaults come from the user's settings are left without them
// (noCacheDefault). bin/dev.js does not read it.
import { writeFileSync } from 'node:fs'
import { fileURLToPath, URL } from 'node:url'
import { Plugin } from '@oclif/core'

const root = fileURLToPath(new URL('..', import.meta.url))
const plugin = new Plugin({
  root,
  type: 'core',
  ignoreManifest: true,
  errorOnManifestCreate: true,
  respectNoCacheDefault: true,
})
await plugin.load()
writeFileSync(new URL('../oclif.manifest.json', import.meta.url), `${JSON.stringify(plugin.manifest)}\n`)
