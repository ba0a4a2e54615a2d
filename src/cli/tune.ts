/** `facet tune`: a model made better at what it is for. */
import { Command } from 'commander'
import { command as check } from './tune-check.ts'
import { command as data } from './tune-data.ts'
import { command as fetch } from './tune-fetch.ts'
import { command as job } from './tune-job.ts'
import { command as logs } from './tune-logs.ts'
import { command as mixture } from './tune-mixture.ts'
import { command as preferences } from './tune-preferences.ts'
import { command as scores } from './tune-scores.ts'
import { command as status } from './tune-status.ts'
import { command as stop } from './tune-stop.ts'

export function command(): Command {
  return new Command()
    .description('Tune a model.')
    .addCommand(data())
    .addCommand(mixture())
    .addCommand(fetch())
    .addCommand(preferences())
    .addCommand(job('sft'))
    .addCommand(job('reward'))
    .addCommand(job('rlhf'))
    .addCommand(scores())
    .addCommand(check())
    .addCommand(status())
    .addCommand(logs())
    .addCommand(stop())
}
