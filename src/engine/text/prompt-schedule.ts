/**
 * The prompt syntax of stable-diffusion-webui (AUTOMATIC1111), the part that changes with the step: `[from:to:when]` and
 * `[a|b|c]` (`get_learned_conditioning_prompt_schedules` of its modules/prompt_parser.py, version 1.10). There a grammar
 * decides; here one pass over the text with a stack of open brackets takes the same texts. Only where brackets without a
 * partner make that grammar ambiguous, as in `a) [b:c:0.5]](`, does it now and then leave a complete bracket as text, which
 * always counts here.
 */

/** A prompt that changes with the step, as the text that holds up to each end. */
export interface ScheduledText {
  /** The last step of `text`, counted from 1; the last one of a schedule is the number of steps. */
  readonly endAtStep: number
  readonly text: string
}

/** What a bracket holds while the prompt is resolved. */
type Node =
  | string
  | { readonly kind: 'scheduled'; readonly before: Node[]; readonly after: Node[]; readonly when: string }
  | { readonly kind: 'alternate'; readonly options: Node[][] }

/** A bracket that is not closed yet: its parts, and what separates them. */
interface OpenBracket {
  readonly bracket: '(' | '['
  readonly parts: [Node[], ...Node[][]]
  readonly separators: (':' | '|')[]
}

const TOKENS = /(?:[^\\[\]():|]|\\[^\n])+|[[\]():|]|\\/g
const NUMBER = /^\s*([+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)\s*$/

/**
 * Resolves a prompt for each step. `when` with a decimal point is a share of the steps, without one a number of steps;
 * `[to:when]` adds, `[from::when]` takes away, `[a|b]` alternates from step to step. Brackets that do not fit stay in the
 * text as they are. Any text is accepted.
 * @param steps the steps of the schedule, at least 1
 * @returns texts in the order of their ends, at least one
 */
export function schedulePrompt(prompt: string, steps: number): ScheduledText[] {
  const nodes = parse(prompt)
  if (!nodes) return [{ endAtStep: steps, text: prompt }]
  const ends = endsOf(nodes, steps)
  return ends.map((endAtStep) => ({ endAtStep, text: textAt(nodes, endAtStep, steps) }))
}

/** The prompt as nodes, or undefined where the grammar takes it for plain text: a `|` outside of brackets, a last `\`. */
function parse(prompt: string): Node[] | undefined {
  const root: Node[] = []
  let open: OpenBracket[] = []
  const current = (): Node[] => {
    const frame = open[open.length - 1]
    return frame ? (frame.parts[frame.parts.length - 1] ?? frame.parts[0]) : root
  }
  /** A bracket without a partner makes text of all brackets around it; what is complete inside of them stays. */
  const giveUp = (): boolean => {
    const frames = open
    open = []
    for (const frame of frames) if (!appendAsText(root, frame)) return false
    return true
  }

  for (const [token] of prompt.matchAll(TOKENS)) {
    const frame = open[open.length - 1]
    if (token === '\\') return undefined
    if (token === '(' || token === '[') {
      open.push({ bracket: token, parts: [[]], separators: [] })
    } else if (frame && (token === ':' || token === '|')) {
      frame.separators.push(token)
      frame.parts.push([])
    } else if (frame && (token === ')' || token === ']')) {
      const closed = closeBracket(frame, token)
      if (closed) {
        open.pop()
        append(current(), closed)
      } else {
        if (!giveUp()) return undefined
        append(root, [token])
      }
    } else if (token === '|') {
      return undefined
    } else {
      append(current(), [token])
    }
  }
  return giveUp() ? root : undefined
}

/** What a complete bracket stands for, or undefined if it has no meaning. */
function closeBracket({ bracket, parts, separators }: OpenBracket, token: ')' | ']'): Node[] | undefined {
  if ((bracket === '(') !== (token === ')')) return undefined
  if (separators.length === 0) return [bracket, ...parts[0], token]
  if (bracket === '(') {
    const [text, weight] = parts
    return separators.join() === ':' && weight ? ['(', ...text, ':', ...weight, ')'] : undefined
  }
  if (separators.every((separator) => separator === '|')) return [{ kind: 'alternate', options: parts }]
  if (separators.length > 2 || separators.includes('|')) return undefined
  const when = numberOf(parts[parts.length - 1])
  if (when === undefined) return undefined
  const [before, after] = parts.length === 3 ? [parts[0], parts[1] ?? []] : [[], parts[0]]
  return [{ kind: 'scheduled', before, after, when }]
}

function numberOf(part: readonly Node[] | undefined): string | undefined {
  const [text, ...more] = part ?? []
  return typeof text === 'string' && more.length === 0 ? NUMBER.exec(text)?.[1] : undefined
}

/** Appends a bracket that has no meaning as the text that it is; false if it holds a `|`, which text cannot. */
function appendAsText(target: Node[], { bracket, parts, separators }: OpenBracket): boolean {
  append(target, [bracket])
  for (const [index, part] of parts.entries()) {
    const separator = index > 0 ? separators[index - 1] : undefined
    if (separator === '|') return false
    append(target, separator === undefined ? part : [separator, ...part])
  }
  return true
}

/** Joins neighbouring texts, so that nested brackets without a schedule stay one string. */
function append(target: Node[], nodes: readonly Node[]): void {
  for (const node of nodes) {
    const last = target[target.length - 1]
    if (typeof node === 'string' && typeof last === 'string') target[target.length - 1] = last + node
    else target.push(node)
  }
}

/** The steps at which some part of the prompt may change, and the last step. */
function endsOf(nodes: readonly Node[], steps: number): number[] {
  const ends = new Set([steps])
  const pending = [...nodes]
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (typeof node === 'string') continue
    if (node.kind === 'scheduled') {
      const end = lastStepBefore(node.when, steps)
      if (end >= 1) ends.add(end)
      pending.push(...node.before, ...node.after)
    } else {
      for (let step = 1; step <= steps; step++) ends.add(step)
      pending.push(...node.options.flat())
    }
  }
  return [...ends].sort((a, b) => a - b)
}

function textAt(nodes: readonly Node[], step: number, steps: number): string {
  const texts: string[] = []
  const pending = nodes.toReversed()
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (typeof node === 'string') texts.push(node)
    else if (node.kind === 'alternate')
      pending.push(...(node.options[(step - 1) % node.options.length] ?? []).toReversed())
    else pending.push(...(step <= lastStepBefore(node.when, steps) ? node.before : node.after).toReversed())
  }
  return texts.join('')
}

/** The last step before a change. */
function lastStepBefore(when: string, steps: number): number {
  const share = when.includes('.') ? Number(when) * steps : Number(when)
  return Math.min(steps, Math.trunc(share))
}
