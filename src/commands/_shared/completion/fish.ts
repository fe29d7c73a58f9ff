import type { CompletedCommand, CompletedFlag, Values } from './tree.js'

/** A completion for fish, which shows the descriptions, too. */
export function fishCompletion(commands: readonly CompletedCommand[], bin: string): string {
  const topics = [...new Set(commands.map(({ path }) => path.split(' ')[0]))]
  const known = [...new Set([...topics, ...commands.map(({ path }) => path)])].map(quote).join(' ')
  return `# fish completion of ${bin}
function __${bin}_path
    set -l path ""
    for word in (commandline -opc)[2..]
        set -l next (string trim "$path $word")
        contains -- $next ${known}
        or break
        set path $next
    end
    echo $path
end
function __${bin}_at
    test (__${bin}_path) = "$argv[1]"
end
${commands.map((command) => commandLines(command, bin)).join('\n')}
`
}

function commandLines({ path, summary, flags, values }: CompletedCommand, bin: string): string {
  const words = path.split(' ')
  const name = words[words.length - 1]
  const at = (place: string): string => `complete -c ${bin} -n ${quote(`__${bin}_at ${quote(place)}`)}`
  return [
    ...parents(path).map(({ topic, word }) => `${at(topic)} -f -a ${quote(word)}`),
    `${at(words.slice(0, -1).join(' '))} -f -a ${quote(name)} -d ${quote(summary)}`,
    ...flags.map((flag) => `${at(path)} ${flagWords(flag, bin)}`),
    ...(values === undefined ? [] : [`${at(path)} ${valueWords(values, bin)}`]),
  ].join('\n')
}

/** The topic in front of a command of two words. */
function parents(path: string): { topic: string; word: string }[] {
  const [first, second] = path.split(' ')
  return second === undefined ? [] : [{ topic: '', word: first }]
}

function flagWords({ spellings, description, values }: CompletedFlag, bin: string): string {
  const names = spellings.map((each) => (each.startsWith('--') ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`))
  const taken = values === undefined ? '' : ` -r ${valueWords(values, bin)}`
  return `${names.join(' ')}${taken} -d ${quote(description)}`
}

function valueWords(values: Values, bin: string): string {
  if (values === 'files') return '-F'
  if (values === 'anything') return '-f'
  const words = 'words' in values ? values.words.join(' ') : `(${bin} completion values ${values.kind} 2>/dev/null)`
  return `-f -a ${quote(words)}`
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
