import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { schedulePrompt } from './prompt-schedule.js'

function schedule(prompt: string, steps = 10): [number, string][] {
  return schedulePrompt(prompt, steps).map(({ endAtStep, text }) => [endAtStep, text])
}

const alternating = (texts: readonly string[], steps = 10): [number, string][] =>
  Array.from({ length: steps }, (_, i) => [i + 1, texts[i % texts.length]])

describe('schedulePrompt', () => {
  // The examples of the function's documentation in stable-diffusion-webui 1.10, modules/prompt_parser.py, at 10 steps.
  it.each<[string, [number, string][]]>([
    ['test', [[10, 'test']]],
    [
      'a [b:3]',
      [
        [3, 'a '],
        [10, 'a b'],
      ],
    ],
    [
      'a [b: 3]',
      [
        [3, 'a '],
        [10, 'a b'],
      ],
    ],
    [
      'a [[[b]]:2]',
      [
        [2, 'a '],
        [10, 'a [[b]]'],
      ],
    ],
    [
      '[(a:2):3]',
      [
        [3, ''],
        [10, '(a:2)'],
      ],
    ],
    [
      'a [b : c : 1] d',
      [
        [1, 'a b  d'],
        [10, 'a  c  d'],
      ],
    ],
    [
      'a[b:[c:d:2]:1]e',
      [
        [1, 'abe'],
        [2, 'ace'],
        [10, 'ade'],
      ],
    ],
    ['a [unbalanced', [[10, 'a [unbalanced']]],
    [
      'a [b:.5] c',
      [
        [5, 'a  c'],
        [10, 'a b c'],
      ],
    ],
    [
      '((a][:b:c [d:3]',
      [
        [3, '((a][:b:c '],
        [10, '((a][:b:c d'],
      ],
    ],
    ['[a|(b:1.1)]', alternating(['a', '(b:1.1)'])],
    ['[fe|]male', alternating(['female', 'male'])],
    ['[fe|||]male', alternating(['female', 'male', 'male', 'male'])],
  ])('resolves %j as its documentation says', (prompt, expected) => {
    expect(schedule(prompt)).toEqual(expected)
  })

  it('resolves the example at the head of the reference', () => {
    const prompt =
      'fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas tree:0.75][ in foreground::0.6][ in background:0.25] [shoddy:masterful:0.5]'
    expect(schedule(prompt, 100)).toEqual([
      [25, 'fantasy landscape with a mountain and an oak in foreground shoddy'],
      [50, 'fantasy landscape with a lake and an oak in foreground in background shoddy'],
      [60, 'fantasy landscape with a lake and an oak in foreground in background masterful'],
      [75, 'fantasy landscape with a lake and an oak in background masterful'],
      [100, 'fantasy landscape with a lake and a christmas tree in background masterful'],
    ])
  })

  it.each<[string, string, [number, string][]]>([
    ['a share of 1.0 as all steps', '[a:b:1.0]', [[10, 'a']]],
    [
      '1 as the first step',
      '[a:b:1]',
      [
        [1, 'a'],
        [10, 'b'],
      ],
    ],
    ['0 as from the beginning', '[a:b:0]', [[10, 'b']]],
    ['more steps than there are as never', '[a:b:99]', [[10, 'a']]],
    [
      'an empty text after',
      '[a::4]',
      [
        [4, 'a'],
        [10, ''],
      ],
    ],
    [
      'an empty text before',
      '[:a:4]',
      [
        [4, ''],
        [10, 'a'],
      ],
    ],
    ['alternation inside of a schedule', '[[a|b]:c:2]', [[1, 'a'], [2, 'b'], ...alternating(['c']).slice(2)]],
    [
      'a schedule inside of an alternation',
      '[a|[b:c:2]]',
      alternating(['a', 'b', 'a', 'c', 'a', 'c', 'a', 'c', 'a', 'c']),
    ],
    [
      'brackets around a schedule',
      '(x [a:b:5]:1.2)',
      [
        [5, '(x a:1.2)'],
        [10, '(x b:1.2)'],
      ],
    ],
    ['an escaped bracket as text', '\\[a:b:5]', [[10, '\\[a:b:5]']]],
    [
      'brackets with a colon but no number as text',
      '[a:b] [c:d:5]',
      [
        [5, '[a:b] c'],
        [10, '[a:b] d'],
      ],
    ],
    ['a wrong bracket inside of a schedule as text', '[x (a:b:c) y:z:5]', [[10, '[x (a:b:c) y:z:5]']]],
    ['a backslash at the end as plain text', '[a:b:5]\\', [[10, '[a:b:5]\\']]],
    ['a bar inside of a schedule as plain text', 'a [{b|d{:.5] c', [[10, 'a [{b|d{:.5] c']]],
    ['a bar outside of brackets as plain text', 'x | [a:b:5]', [[10, 'x | [a:b:5]']]],
  ])('takes %s', (_, prompt, expected) => {
    expect(schedule(prompt)).toEqual(expected)
  })

  it('accepts any text, with ends in order up to the last step', () => {
    const syntax = fc.constantFrom('(', ')', '[', ']', ':', '|', '\\', '0.5', '3', ' ', 'a', 'b\n')
    const prompts = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.array(syntax, { maxLength: 40 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(prompts, fc.integer({ min: 1, max: 30 }), (prompt, steps) => {
        const ends = schedule(prompt, steps).map(([end]) => end)
        expect(ends.at(-1)).toBe(steps)
        expect(ends).toEqual([...new Set(ends)].sort((a, b) => a - b))
      }),
    )
  })

  it('keeps text without square brackets as it is', () => {
    const plain = fc.string({ unit: 'binary', maxLength: 80 }).map((text) => text.replace(/[[\]]/g, ''))
    fc.assert(
      fc.property(plain, (prompt) => {
        expect(schedule(prompt)).toEqual([[10, prompt]])
      }),
    )
  })

  it('resolves five thousand nested schedules', () => {
    const [first, second] = schedule('['.repeat(5000) + 'a' + ':1]'.repeat(5000))
    expect([first, second]).toEqual([
      [1, ''],
      [10, 'a'],
    ])
  })
})
