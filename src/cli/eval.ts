/** `facet eval`: what a model can do, measured. */
import { Command } from 'commander'
import { command as compare } from './eval-compare.ts'
import { command as judge } from './eval-judge.ts'
import { command as memorization } from './eval-memorization.ts'
import { command as rate } from './eval-rate.ts'
import { command as report } from './eval-report.ts'
import { command as run } from './eval-run.ts'
import { command as sxs } from './eval-sxs.ts'

export function command(): Command {
  return new Command()
    .description('Measure what a model can do.')
    .addCommand(run())
    .addCommand(compare())
    .addCommand(sxs())
    .addCommand(judge())
    .addCommand(rate())
    .addCommand(memorization())
    .addCommand(report())
}
