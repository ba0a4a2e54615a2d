/** `facet tune logs`: the last lines that a tuning's job has written. */
import { Command } from 'commander'
import { call } from '../../deploy/waiting.ts'
import { addTuneFlags } from './tune-flags.ts'
import { planTuning, TUNING_ARGUMENT, type TuneFlags, withTuning } from './tune-open.ts'

export function command(): Command {
  const made = new Command('logs')
    .description("Print the last lines of a tuning's job.")
    .argument('<name>', TUNING_ARGUMENT)
    .option('--config <file>', 'the file, or its folder (default: facet.config.ts, where there is one)')
  return addTuneFlags(made).action(async (name: string, flags: TuneFlags) => {
    const lines = await withTuning(await planTuning(name, flags), ({ runner, plan, signal }) =>
      call('read the log', (one) => runner.logs(plan, one), { signal }),
    )
    process.stdout.write(lines.map((line) => `${line}\n`).join(''))
  })
}
