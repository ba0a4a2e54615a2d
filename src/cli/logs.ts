/** `facet logs`: the last lines that a deployment's server has written. */
import { Command } from 'commander'
import { call } from '../../deploy/waiting.ts'
import { TARGET_ARGUMENT } from './deployment.ts'
import { withDeployment } from './open-deployment.ts'

export function command(): Command {
  return new Command()
    .description("Print the last lines of a deployment's server.")
    .argument('<target>', TARGET_ARGUMENT)
    .option('--config <file>', 'the file, or its folder (default: facet.config.ts)')
    .action((word: string, flags: { readonly config?: string }) =>
      withDeployment(word, flags.config, async ({ plan, target, signal }) => {
        const lines = await call('read the log', (inner) => target.logs(plan, inner), { signal })
        process.stdout.write(lines.map((line) => `${line}\n`).join(''))
      }),
    )
}
