/** `facet status`: whether a deployment answers, else the one cause, and what it has cost. */
import { Command } from 'commander'
import { guardState } from '../../deploy/guard.ts'
import { readState } from '../../deploy/state.ts'
import { status } from '../../deploy/up.ts'
import { TARGET_ARGUMENT } from './deployment.ts'
import { withDeployment } from './open-deployment.ts'

interface Flags {
  readonly config?: string
  readonly json?: true
}

export function command(): Command {
  return new Command()
    .description('Say whether a deployment answers; if not, the one cause.')
    .argument('<target>', TARGET_ARGUMENT)
    .option('--config <file>', 'the file, or its folder (default: facet.config.ts)')
    .option('--json', 'print JSON')
    .action((word: string, flags: Flags) =>
      withDeployment(word, flags.config, async ({ name, plan, target, folder, signal }) => {
        const finding = await status(target, plan, { signal })
        const state = await readState(folder, name)
        const guard = state && guardState(plan, state.sinceMs, Date.now())
        const lines = finding.cause === 'CRASH' ? finding.lines.map((line) => `  ${line}\n`).join('') : ''
        process.stdout.write(
          flags.json
            ? `${JSON.stringify({ ...finding, guard }, null, 2)}\n`
            : `${finding.cause}: ${finding.says}\n${lines}${guard ? `${guard.says}\n` : ''}`,
        )
      }),
    )
}
