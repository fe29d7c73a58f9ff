import { Args } from '@oclif/core'
import { BaseCommand } from '../_shared/base-command.js'
import { bashCompletion, zshCompletion } from '../_shared/completion/bash.js'
import { fishCompletion } from '../_shared/completion/fish.js'
import { completionTree } from '../_shared/completion/tree.js'

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion }
type Shell = keyof typeof SHELLS

/** What --json prints. */
export interface CompletionResult {
  readonly shell: string
  readonly script: string
}

export default class Completion extends BaseCommand {
  static override summary = 'Print a script that completes commands, flags and names in a shell.'

  static override description = [
    'To install it:',
    'bash: swiftd completion bash > ~/.local/share/bash-completion/completions/swiftd',
    'zsh: put this line into ~/.zshrc: source <(swiftd completion zsh)',
    'fish: swiftd completion fish > ~/.config/fish/completions/swiftd.fish',
    'It takes effect in the next shell. In a clone, "swiftd" must be on the PATH, for example by npm link.',
  ].join('\n')

  static override examples = [
    '<%= config.bin %> completion bash > ~/.local/share/bash-completion/completions/swiftd',
    'source <(<%= config.bin %> completion zsh)',
    '<%= config.bin %> completion fish > ~/.config/fish/completions/swiftd.fish',
  ]

  static override args = {
    shell: Args.string({ description: 'Whose script.', required: true, options: Object.keys(SHELLS) }),
  }

  async run(): Promise<CompletionResult> {
    const { args } = await this.parse(Completion)
    const script = SHELLS[args.shell as Shell](completionTree(this.config), this.config.bin)
    if (!this.jsonEnabled()) process.stdout.write(script)
    return { shell: args.shell, script }
  }
}
