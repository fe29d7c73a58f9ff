import type { Hook } from '@oclif/core'
import { SwiftdError } from '../../engine/errors.js'
import { ERRORS, toWireError } from '../../daemon/protocol/error.js'
import { editDistance, nearest } from '../../engine/sampling/schedulers/nearest.js'

/** Tells the nearest command where there is none of that name; with --json as JSON, as commands tell their errors. */
const commandNotFound: Hook.CommandNotFound = function ({ id, argv = [], config }) {
  const commands = config.commands.filter(({ hidden }) => !hidden).map(({ id: known }) => known)
  const { given, suggestion } = suggest(id, commands)
  const advice = suggestion === undefined ? 'see --help for all' : `did you mean "${suggestion}"?`
  const sentence = `There is no command "${given}"; ${advice}${suggestion === undefined ? '.' : ''}`
  const failure = toWireError(new SwiftdError('INVALID_REQUEST', sentence))
  process.exitCode = ERRORS[failure.code].exitCode
  if (argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error: failure }, undefined, 2)}\n`)
  else process.stderr.write(`Error: ${failure.message}\n`)
  return Promise.resolve()
}

export default commandNotFound

/** More edits than this share of the word are another word. */
const SIMILAR = 0.5

/** oclif joins the words behind a command, too, so only as many count as the suggested command has. */
export function suggest(id: string, commands: readonly string[]): { given: string; suggestion?: string } {
  const words = id.split(':')
  const candidates = commands.map((command) => {
    const given = words.slice(0, command.split(':').length).join(' ')
    return { given, name: command.replaceAll(':', ' ') }
  })
  const scored = candidates
    .map((each) => ({ ...each, distance: editDistance(each.given, each.name) }))
    .sort((a, b) => a.distance - b.distance)
  const [best] = scored
  if (best && best.distance <= SIMILAR * best.name.length) return { given: best.given, suggestion: best.name }
  const [topic] = nearest(
    words[0],
    commands.map((command) => command.split(':')[0]),
    1,
  )
  const close = topic !== undefined && editDistance(topic, words[0]) <= SIMILAR * topic.length
  return { given: words[0], ...(close && { suggestion: topic }) }
}
