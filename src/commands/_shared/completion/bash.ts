import type { CompletedCommand, Values } from './tree.js'

/**
 * A completion for bash, and for zsh by its bashcompinit. The script knows commands and flags; only names of models, jobs
 * and the like are asked for when somebody presses the tab key.
 */
export function bashCompletion(commands: readonly CompletedCommand[], bin: string): string {
  return `# bash completion of ${bin}
_${bin}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev= path= next= i
  # With ":" in COMP_WORDBREAKS a name such as cpu:0 is three words; they are joined again.
  local line=\${COMP_LINE:0:COMP_POINT} words
  read -r -a words <<< "$line"
  [[ $line == *" " || \${#words[@]} -eq 0 ]] && words+=("")
  local last=$((\${#words[@]} - 1))
  cur=\${words[last]}
  prev=\${words[last - 1]}
  for ((i = 1; i < last; i++)); do
    next="\${path:+$path }\${words[i]}"
    case $next in
      ${patterns(withTopics(commands))}) path=$next ;;
      *) break ;;
    esac
  done
  COMPREPLY=()
  case "$path $prev" in
${flagCases(commands, bin)}
  esac
  if [[ $cur == -* ]]; then
    case $path in
${flagLists(commands)}
    esac
    return
  fi
  case $path in
${topics(commands)}
${argumentCases(commands, bin)}
  esac
}
_swiftd_words() {
  local cur=$1 prefix=
  COMPREPLY=($(compgen -W "$2" -- "$cur"))
  # Readline replaces only what stands behind the last colon.
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
    prefix=\${cur%"\${cur##*:}"}
    COMPREPLY=("\${COMPREPLY[@]#"$prefix"}")
  fi
}
complete -o default -F _${bin} ${bin}
`
}

/** The same for zsh. */
export function zshCompletion(commands: readonly CompletedCommand[], bin: string): string {
  return `autoload -U +X compinit && compinit -u
autoload -U +X bashcompinit && bashcompinit
${bashCompletion(commands, bin)}`
}

function withTopics(commands: readonly CompletedCommand[]): string[] {
  return [...new Set(commands.flatMap(({ path }) => [path.split(' ')[0], path]))]
}

function patterns(paths: readonly string[]): string {
  return paths.map((path) => `"${path}"`).join(' | ')
}

/** Values behind a flag. */
function flagCases(commands: readonly CompletedCommand[], bin: string): string {
  const cases = commands.flatMap(({ path, flags }) =>
    flags.map(({ spellings, values }) => {
      if (values === undefined) return ''
      const keys = spellings.map((spelling) => `"${path} ${spelling}"`).join(' | ')
      return `    ${keys}) ${complete(values, bin)}return ;;`
    }),
  )
  return cases.filter((each) => each !== '').join('\n')
}

function flagLists(commands: readonly CompletedCommand[]): string {
  return commands
    .map(({ path, flags }) => {
      const words = flags.flatMap(({ spellings }) => spellings).join(' ')
      return `      "${path}") COMPREPLY=($(compgen -W "${words}" -- "$cur")) ;;`
    })
    .join('\n')
}

/** The commands of each topic, and the first words. */
function topics(commands: readonly CompletedCommand[]): string {
  const names = [...new Set(commands.filter(({ path }) => path.includes(' ')).map(({ path }) => path.split(' ')[0]))]
  const first = [...new Set(commands.map(({ path }) => path.split(' ')[0]))].join(' ')
  const ofTopic = (topic: string): string =>
    commands
      .filter(({ path }) => path.startsWith(`${topic} `))
      .map(({ path }) => path.slice(topic.length + 1))
      .join(' ')
  return [
    `    "") _swiftd_words "$cur" "${first} help" ;;`,
    ...names
      .filter((topic) => !commands.some(({ path }) => path === topic))
      .map((topic) => `    "${topic}") _swiftd_words "$cur" "${ofTopic(topic)}" ;;`),
  ].join('\n')
}

function argumentCases(commands: readonly CompletedCommand[], bin: string): string {
  return commands
    .filter(({ values }) => values !== undefined && values !== 'files' && values !== 'anything')
    .map(({ path, values }) => `    "${path}") ${complete(values ?? 'anything', bin)};;`)
    .join('\n')
}

/** Ends with a space. Without COMPREPLY bash offers files. */
function complete(values: Values, bin: string): string {
  if (values === 'files' || values === 'anything') return ''
  const words = 'words' in values ? values.words.join(' ') : `$(${bin} completion values ${values.kind} 2>/dev/null)`
  return `_swiftd_words "$cur" "${words}"; `
}
