import { cpus, totalmem } from 'node:os'
import type { ScenarioOptions } from './options.js'

/** `about N` is met up to a quarter above N. */
export type Goal = `${'<' | '<=' | 'about'} ${number}`

/** One measured figure beside its goal. */
export interface Figure {
  readonly value: number
  /** What it should be, in the words of `Goal`; absent for figures that only inform. */
  readonly goal?: Goal
  readonly unit: string
  /** What `value` is the median of. */
  readonly samples: readonly number[]
}

export interface Scenario {
  /** One line for --list. */
  readonly about: string
  readonly run: (context: ScenarioContext) => Promise<Record<string, Figure>>
}

export interface ScenarioContext {
  /** Where random checkpoints are kept between runs. */
  readonly cacheDirectory: string
  /** Tells what is going on, on stderr. */
  readonly say: (sentence: string) => void
  /** Adds to what the document says beside the figures. */
  readonly note: (notes: ScenarioNotes) => void
  readonly options: ScenarioOptions
}

/** The machine that the figures were measured on. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly node: string
}

export function describeMachine(): Machine {
  const [first, ...rest] = cpus()
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: rest.length + 1,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  }
}

/** The device that the figures were measured on, where a scenario is about one. */
export interface MeasuredDevice {
  /** For example `cuda:0`. */
  readonly name: string
  readonly provider: string
  /** The card's name. */
  readonly hardware: string
  readonly driver?: string
  readonly memoryGiB?: number
  /** Threads of the host that it may use. */
  readonly threads: number
  /** What graphs were built for: precision, whose fused operators, and how attention is computed. */
  readonly precision: string
  readonly operators: string
  readonly attention: string
}

/** What a document says beside the figures. */
export interface ScenarioNotes {
  readonly device?: MeasuredDevice
  /** What could not be measured, and why. */
  readonly failures?: readonly string[]
}

/** What --json prints for one scenario. */
export interface ScenarioDocument extends ScenarioNotes {
  readonly scenario: string
  readonly machine: Machine
  readonly figures: Readonly<Record<string, Figure>>
}

/** One document as it is, several as a list. */
export function formatDocuments(documents: readonly ScenarioDocument[]): string {
  return JSON.stringify(documents.length === 1 ? documents[0] : documents, null, 2)
}

/** Whether a figure reaches its goal; undefined without one. */
export function isGoalMet({ value, goal }: Figure): boolean | undefined {
  if (goal === undefined) return undefined
  const [relation, text] = goal.split(' ')
  const bound = Number(text)
  if (relation === '<') return value < bound
  return value <= (relation === 'about' ? 1.25 * bound : bound)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** A figure whose value is the samples' median. */
export function figure(samples: readonly number[], unit: string, goal?: Goal): Figure {
  return { value: median(samples), unit, samples, ...(goal !== undefined && { goal }) }
}

/**
 * Measures two things in turn (A B A B …), so that a drift of the machine's speed meets both, after one round that does
 * not count.
 * @returns the measurements of each, pair by pair
 */
export async function measurePairs(
  rounds: number,
  a: () => Promise<number>,
  b: () => Promise<number>,
): Promise<{ a: number[]; b: number[] }> {
  await a()
  await b()
  const samples = { a: [] as number[], b: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    samples.a.push(await a())
    samples.b.push(await b())
  }
  return samples
}

/** How long a task takes, in milliseconds. */
export async function elapsedMs(task: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await task()
  return performance.now() - started
}

/** a[i] / b[i]: the ratio pair by pair. */
export function ratios(a: readonly number[], b: readonly number[]): number[] {
  return a.map((value, index) => value / b[index])
}
