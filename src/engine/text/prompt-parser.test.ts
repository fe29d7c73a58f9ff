import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parsePromptAttention, refuseComposition, stripComments } from './prompt-parser.js'

/** Fragments as pairs of text and weight; a break is the string BREAK. */
function parse(prompt: string): ([string, number] | 'BREAK')[] {
  return parsePromptAttention(prompt).map((fragment) =>
    fragment.kind === 'break' ? 'BREAK' : [fragment.text, Number(fragment.weight.toFixed(6))],
  )
}

describe('parsePromptAttention', () => {
  // The examples of the function's documentation in stable-diffusion-webui, modules/prompt_parser.py.
  it.each<[string, [string, number][]]>([
    ['normal text', [['normal text', 1]]],
    [
      'an (important) word',
      [
        ['an ', 1],
        ['important', 1.1],
        [' word', 1],
      ],
    ],
    ['(unbalanced', [['unbalanced', 1.1]]],
    ['\\(literal\\]', [['(literal]', 1]]],
    ['(unnecessary)(parens)', [['unnecessaryparens', 1.1]]],
    [
      'a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).',
      [
        ['a ', 1],
        ['house', 1.573],
        [' ', 1.1],
        ['on', 1],
        [' a ', 1.1],
        ['hill', 0.55],
        [', sun, ', 1.1],
        ['sky', 1.4641],
        ['.', 1.1],
      ],
    ],
  ])('reads %j as its documentation says', (prompt, expected) => {
    expect(parse(prompt)).toEqual(expected)
  })

  it.each<[string, string, ([string, number] | 'BREAK')[]]>([
    ['no text', '', [['', 1]]],
    ['square brackets', '[less]', [['less', 0.909091]]],
    ['brackets of both kinds that undo each other', '([a])', [['a', 1]]],
    ['spaces around a weight', '(a: 1.5 )', [['a', 1.5]]],
    ['a negative weight', '(a:-0.5)', [['a', -0.5]]],
    ['a weight without a bracket', 'a:1.5)', [['a:1.5)', 1]]],
    ['a number that is none', '(a:1.2.3)', [['a:1.2.3)', 1.1]]],
    ['closing brackets alone', 'a) b]', [['a) b]', 1]]],
    [
      'a square bracket that is never closed',
      'a [b',
      [
        ['a ', 1],
        ['b', 0.909091],
      ],
    ],
    ['escapes of all five characters', '\\( \\) \\[ \\] \\\\', [['( ) [ ] \\', 1]]],
    ['an escape inside of brackets', '(a \\(b\\):1.2)', [['a (b)', 1.2]]],
    ['a backslash before a letter', 'a\\b', [['ab', 1]]],
    [
      'a colon as text',
      'ratio 1:2, (a: b:1.2)',
      [
        ['ratio 1:2, ', 1],
        ['a: b', 1.2],
      ],
    ],
    [
      'neighbours of equal weight',
      '(a:1.2)(b:1.2) c',
      [
        ['ab', 1.2],
        [' c', 1],
      ],
    ],
    ['BREAK with the white space around it', 'a \n BREAK  b', [['a', 1], 'BREAK', ['b', 1]]],
    ['two BREAKs', 'a BREAK BREAK b', [['a', 1], 'BREAK', ['', 1], 'BREAK', ['b', 1]]],
    ['BREAK only as a whole word', 'BREAKS ÉBREAK break', [['BREAKS ÉBREAK break', 1]]],
    [
      'BREAK inside of brackets as a word, as stable-diffusion-webui does',
      '(a BREAK b)',
      [
        ['a', 1.1],
        ['BREAK', -1.1],
        ['b', 1.1],
      ],
    ],
  ])('understands %s', (_, prompt, expected) => {
    expect(parse(prompt)).toEqual(expected)
  })

  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc
      .array(fc.constantFrom('(', ')', '[', ']', ':', '\\', '|', '1.2', 'a', ' ', '\n', 'BREAK', 'AND', '<lora:a:1>'), {
        maxLength: 40,
      })
      .map((parts) => parts.join('')),
  )

  it('accepts any text and gives neighbours of different weights', () => {
    fc.assert(
      fc.property(anything, (prompt) => {
        const fragments = parsePromptAttention(prompt)
        expect(fragments.length).toBeGreaterThan(0)
        fragments.forEach((fragment, i) => {
          const before = fragments[i - 1]
          if (fragment.kind === 'text' && before?.kind === 'text') expect(fragment.weight).not.toBe(before.weight)
        })
      }),
    )
  })

  it('keeps text without syntax as it is', () => {
    const plain = fc.string({ unit: 'binary', maxLength: 80 }).map((text) => text.replace(/[()[\]\\]|BREAK/g, ''))
    fc.assert(
      fc.property(plain, (prompt) => {
        expect(parsePromptAttention(prompt)).toEqual([{ kind: 'text', text: prompt, weight: 1 }])
      }),
    )
  })

  it('reads ten thousand nested brackets', () => {
    const [fragment] = parsePromptAttention('['.repeat(10_000) + 'a' + ']'.repeat(10_000))
    expect(fragment).toMatchObject({ kind: 'text', text: 'a' })
    expect(parsePromptAttention('('.repeat(20_000))).toEqual([{ kind: 'text', text: '', weight: 1 }])
  })
})

describe('stripComments', () => {
  it.each([
    ['a # rest\nb', 'a \nb'],
    ['# all\na', '\na'],
    ['a\n# line\nb', 'a\nb'],
    ['no comment', 'no comment'],
  ])('makes %j %j', (prompt, expected) => {
    expect(stripComments(prompt)).toBe(expected)
  })
})

describe('refuseComposition', () => {
  it.each(['a cat AND a dog', 'AND', '[a AND b:0.5]'])('refuses %j and names AND', (prompt) => {
    const message = expect.stringContaining('AND') as string
    expect(() => refuseComposition(prompt)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message }) as Error,
    )
  })

  it.each([
    ['a cat:1.2', ':1.2'],
    ['16:9', ':9'],
    ['a : -0.5 \n', ': -0.5'],
  ])('refuses the weight at the end of %j with its value', (prompt, weight) => {
    const message = expect.stringContaining(`“${weight}”`) as string
    expect(() => refuseComposition(prompt)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message }) as Error,
    )
  })

  it.each([
    ['a cat and a dog', 'a cat and a dog'],
    ['sAND, ANDROID', 'sAND, ANDROID'],
    ['a cat:1', 'a cat'],
    ['(a cat:1.2)', '(a cat:1.2)'],
    ['[a:b:0.5]', '[a:b:0.5]'],
    ['two lines\nratio 16:9', 'two lines\nratio 16:9'],
    ['', ''],
  ])('gives %j as %j', (prompt, expected) => {
    expect(refuseComposition(prompt)).toBe(expected)
  })
})
