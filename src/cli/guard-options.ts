/** The flags of `facet serve` that put guards around the model. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { createClient } from '../client/http.ts'
import { inputGuard, type Judge, outputGuard, shieldJudge } from '../guard/guard.ts'
import type { Layer } from '../types.ts'

/** Who judges whether a text is safe. */
export interface JudgeFlags {
  readonly guard?: string
  readonly guardModel?: string
  readonly guardForm: 'prompt' | 'chat'
  readonly guardThreshold: number
}

export interface GuardFlags extends JudgeFlags {
  readonly guardFailure: 'closed' | 'open'
}

export function addGuardFlags(command: Command): Command {
  return addJudgeFlags(command).addOption(
    new Option(
      '--guard-failure <way>',
      'what becomes of texts the judge cannot judge: refused, or let through',
    )
      .env('FACET_GUARD_FAILURE')
      .choices(['closed', 'open'])
      .default('closed'),
  )
}

export function addJudgeFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--guard <url>', 'an OpenAI-compatible server whose model judges questions and answers').env(
        'FACET_GUARD',
      ),
    )
    .addOption(
      new Option('--guard-model <id>', 'the model that judges, a ShieldGemma for example').env(
        'FACET_GUARD_MODEL',
      ),
    )
    .addOption(
      new Option('--guard-form <form>', 'chat: ask as a user would, for models other than ShieldGemma')
        .env('FACET_GUARD_FORM')
        .choices(['prompt', 'chat'])
        .default('prompt'),
    )
    .addOption(
      new Option('--guard-threshold <probability>', 'of a violation, above which a text is refused')
        .env('FACET_GUARD_THRESHOLD')
        .default(0.5)
        .argParser(toProbability),
    )
}

/** @throws FacetError when the address is none */
export function toGuards(flags: GuardFlags): Layer[] {
  const judge = toJudge(flags)
  if (!judge) return []
  const options = { judge, onFailure: flags.guardFailure }
  return [inputGuard(options), outputGuard(options)]
}

/** Undefined: none is named. @throws FacetError when the address is none */
export function toJudge({ guard, guardModel, guardForm, guardThreshold }: JudgeFlags): Judge | undefined {
  if (guard === undefined) return undefined
  const apiKey = process.env.FACET_GUARD_KEY
  const backend = createClient({
    baseURL: guard,
    name: 'The guard',
    ...(guardModel !== undefined && { model: guardModel }),
    ...(apiKey !== undefined && { apiKey }),
  })
  return shieldJudge({ backend, form: guardForm, threshold: guardThreshold })
}

function toProbability(text: string): number {
  const value = /^(0|1|0?\.\d+|1\.0+)$/.test(text) ? Number(text) : Number.NaN
  if (value >= 0 && value <= 1) return value
  throw new InvalidArgumentError('It must be a number from 0 to 1.')
}
