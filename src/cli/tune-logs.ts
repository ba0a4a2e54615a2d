/** `facet tune logs`: the last lines that a tuning's job has written. */
import { Command } from 'commander'
import { call } from '../../deploy/waiting.ts'
import { addRunFlags, planTuning, RUN_ARGUMENT, type TuneFlags, withTuning } from './tune-open.ts'

export function command(): Command {
  const made = new Command('logs')
    .description("Print the last lines of a tuning's job.")
    .argument('<name>', RUN_ARGUMENT)
  return addRunFlags(made).action(async (name: string, flags: TuneFlags) => {
    const lines = await withTuning(await planTuning(name, flags), ({ runner, plan, signal }) =>
      call('read the log', (one) => runner.logs(plan, one), { signal }),
    )
    process.stdout.write(lines.map((line) => `${line}\n`).join(''))
  })
}
