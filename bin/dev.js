#!/usr/bin/env node
// Runs the TypeScript of src/ without a build. oclif's own way to do so falls back to dist/ without a word where it
// fails, so it is switched off and told where the commands are. Its root is src/: the manifest of a build lies above.
import { readFileSync } from 'node:fs'
import { fileURLToPath, URL } from 'node:url'
import { execute, settings } from '@oclif/core'
import { register } from 'tsx/esm/api'

register()
settings.enableAutoTranspile = false
const root = fileURLToPath(new URL('../src', import.meta.url))
const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
pjson.oclif.commands.target = './commands'
for (const [name, path] of Object.entries(pjson.oclif.hooks)) pjson.oclif.hooks[name] = path.replace('./dist/', './')

await execute({ development: true, loadOptions: { root, pjson } })
