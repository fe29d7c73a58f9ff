import { describe, expect, it } from 'vitest'
import {
  describeMachine,
  figure,
  formatDocuments,
  isGoalMet,
  measurePairs,
  median,
  ratios,
  type Goal,
} from '../../bench/harness.js'

describe('the bench harness', () => {
  it('takes the middle value as the median, or the mean of the two in the middle', () => {
    expect(median([5, 1, 3])).toBe(3)
    expect(median([10, 9, 1, 2])).toBe(5.5)
    expect(median([7])).toBe(7)
  })

  it('leaves samples in the order in which they were taken', () => {
    const samples = [3, 1, 2]
    expect(figure(samples, 'ms', '< 5')).toEqual({ value: 2, unit: 'ms', goal: '< 5', samples: [3, 1, 2] })
  })

  it('measures in turn and does not count the first round', async () => {
    const order: string[] = []
    let time = 0
    const measure = (name: string) => () => {
      order.push(name)
      return Promise.resolve(time++)
    }
    const samples = await measurePairs(2, measure('a'), measure('b'))
    expect(order.join('')).toBe('ababab')
    expect(samples).toEqual({ a: [2, 4], b: [3, 5] })
  })

  it('divides pair by pair', () => {
    expect(ratios([1, 9], [2, 3])).toEqual([0.5, 3])
  })

  it.each<[number, Goal, boolean]>([
    [0.029, '< 0.03', true],
    [0.03, '< 0.03', false],
    [1.1, '<= 1.1', true],
    [1.11, '<= 1.1', false],
    [400, 'about 1000', true],
    [1250, 'about 1000', true],
    [1251, 'about 1000', false],
  ])('judges %d against the goal "%s": %s', (value, goal, met) => {
    expect(isGoalMet(figure([value], '', goal))).toBe(met)
  })

  it('does not judge a figure that only informs', () => {
    expect(isGoalMet(figure([1], 'ms'))).toBeUndefined()
  })

  it('prints one document as it is and several as a list', () => {
    const machine = describeMachine()
    const document = { scenario: 'one', machine, figures: { 'a step': figure([2, 4, 3], 'ms', '< 5') } }
    const expected = {
      scenario: 'one',
      machine,
      figures: { 'a step': { value: 3, goal: '< 5', unit: 'ms', samples: [2, 4, 3] } },
    }
    expect(JSON.parse(formatDocuments([document]))).toEqual(expected)
    expect(JSON.parse(formatDocuments([document, document]))).toEqual([expected, expected])
  })
})
