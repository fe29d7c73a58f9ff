import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { SwiftdError } from '../../engine/errors.js'
import { ERRORS, isErrorCode, toWireError } from './error.js'

const documented = readFileSync('docs/errors.md', 'utf8')
  .split('\n')
  .filter((line) => /^\| [A-Z_]+ +\|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, code, status, exitCode, meaning, help]) => ({
    code,
    status: Number(status),
    exitCode: Number(exitCode),
    meaning,
    help,
  }))

describe('error table', () => {
  it('is what docs/errors.md says, code by code', () => {
    const table = Object.entries(ERRORS).map(([code, entry]) => ({ code, ...entry }))
    expect(documented.map(({ code, status, exitCode }) => ({ code, status, exitCode }))).toEqual(table)
  })

  it('is documented with a meaning and a remedy for every code', () => {
    for (const { code, meaning, help } of documented) {
      expect(meaning, code).toMatch(/\.$/)
      expect(help, code).toMatch(/\.$/)
    }
  })

  it('keeps the exit codes that shells and other programs give a meaning', () => {
    const byCode = Object.fromEntries(Object.entries(ERRORS).map(([code, { exitCode }]) => [code, exitCode]))
    expect(byCode).toMatchObject({ INVALID_REQUEST: 2, TIMEOUT: 124, CANCELLED: 130 })
    expect(Object.values(byCode)).not.toContain(0)
  })

  it('has no two remedies behind one exit code, but for the general 1', () => {
    const specific = Object.values(ERRORS).map(({ exitCode }) => exitCode)
    const repeated = specific.filter((exitCode, index) => exitCode !== 1 && specific.indexOf(exitCode) !== index)
    expect(repeated).toEqual([])
  })
})

describe('errors on the wire', () => {
  it('keep their code and their sentence', () => {
    expect(toWireError(new SwiftdError('QUEUE_FULL', 'Full.'))).toEqual({ code: 'QUEUE_FULL', message: 'Full.' })
  })

  it('are faults of swiftd when they are of any other kind', () => {
    expect(toWireError(new TypeError('x is not a function'))).toEqual({
      code: 'INTERNAL_ERROR',
      message: 'swiftd failed unexpectedly: x is not a function',
    })
    expect(toWireError('text').code).toBe('INTERNAL_ERROR')
  })

  it('have no codes beyond the table', () => {
    expect(isErrorCode('QUEUE_FULL')).toBe(true)
    expect(isErrorCode('toString')).toBe(false)
    expect(isErrorCode(7)).toBe(false)
  })
})
