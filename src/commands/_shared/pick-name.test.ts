import { describe, expect, it } from 'vitest'
import { suggest } from './command-not-found.js'
import { pickName } from './pick-name.js'
import { formatColumns } from './table.js'

const NAMES = ['steps', 'scheduler', 'second-device', 'guidance-scale']

describe('pickName', () => {
  it('takes whole names and beginnings that no other name has', () => {
    expect(['steps', 'st', 'g'].map((name) => pickName(name, { what: 'setting', names: NAMES }))).toEqual([
      ...['steps', 'steps', 'guidance-scale'],
    ])
  })

  it('tells what a beginning may mean, and what is near to a mistake', () => {
    const pick = (name: string) => () => pickName(name, { what: 'setting', names: NAMES })
    expect(pick('s')).toThrow('"s" may be any of steps, scheduler, second-device; give more of the setting.')
    expect(pick('gudance')).toThrow(/^There is no setting "gudance"; did you mean guidance-scale/)
    expect(() => pickName('x', { what: 'job', names: [], code: 'JOB_NOT_FOUND' })).toThrow(
      'There is no job "x"; there are none.',
    )
  })
})

describe('an unknown command', () => {
  const commands = ['generate', 'daemon:start', 'daemon:stop', 'model:list']
  it.each([
    ['genrate:a:cat', 'genrate', 'generate'],
    ['daemon:strat', 'daemon strat', 'daemon start'],
    ['modle:list', 'modle list', 'model list'],
    ['xyzzy', 'xyzzy', undefined],
  ])('suggests the nearest one for %s', (id, given, suggestion) => {
    expect(suggest(id, commands)).toEqual({ given, ...(suggestion !== undefined && { suggestion }) })
  })
})

describe('tables', () => {
  const rows = [
    ['NAME', 'SIZE'],
    ['a-rather-long-name', '2 GB'],
    ['b', '1 kB'],
  ]
  it('have columns where they fit, and blocks of lines where they do not', () => {
    expect(formatColumns(rows, 80).split('\n')).toEqual([
      'NAME                 SIZE',
      'a-rather-long-name   2 GB',
      'b                    1 kB',
    ])
    expect(formatColumns(rows, 20)).toBe('NAME a-rather-long-n…\nSIZE 2 GB\n\nNAME b\nSIZE 1 kB'.replace('n…', '…'))
  })
})
