/** `facet tune`: a model made better at what it is for. */
import { Command } from 'commander'
import { command as data } from './tune-data.ts'
import { command as preferences } from './tune-preferences.ts'

export function command(): Command {
  return new Command().description('Tune a model.').addCommand(data()).addCommand(preferences())
}
