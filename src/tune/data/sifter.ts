/** All that is asked of one row, in order: the first thing that is wrong with it decides. */
import type { Clock } from '../../client/deadline.ts'
import { abortedError } from '../../errors.ts'
import type { PersonalDataDetector } from '../../eval/personal-data.ts'
import type { Turn } from '../../gemma/chat-template.ts'
import type { Judge } from '../../guard/guard.ts'
import { Asking } from './asking.ts'
import { checkedTurns, textOf } from './conversation.ts'
import type { Benchmarks } from './leakage.ts'
import { type Signature, signatureOf } from './near-duplicates.ts'
import type { RowAt } from './read/row-at.ts'
import { Rejection } from './rejection.ts'
import { type FormatName, toConversation } from './row-formats.ts'
import { mistakenIdentity } from './self-identification.ts'
import { fitted, type TunedModel } from './template.ts'
import type { ToxicWords } from './toxic-words.ts'
import { wordHashes } from './words.ts'

/** What is left out is not checked. */
export interface Checks {
  readonly model: TunedModel
  /** Most tokens of a row. */
  readonly contextTokens: number
  readonly truncate: boolean
  readonly format?: FormatName
  readonly selfIdentification: boolean
  readonly detector?: PersonalDataDetector
  readonly toxic?: ToxicWords
  readonly benchmarks?: Benchmarks
  readonly judge?: Judge
}

/** The same checks; services are asked a few rows at a time, and again where they fail in passing. */
export function patient(checks: Checks, clock?: Clock): Checks {
  const { detector, judge } = checks
  const [forDetector, forJudge] = [new Asking(clock), new Asking(clock)]
  return {
    ...checks,
    ...(detector?.name === 'google' && {
      detector: {
        name: detector.name,
        find: (text, signal) => forDetector.ask(() => detector.find(text, signal), signal),
      },
    }),
    ...(judge && {
      judge: (exhibit, call) => forJudge.ask(() => judge(exhibit, call), call.signal),
    }),
  }
}

/** A row that has passed. */
export interface Sifted {
  readonly turns: readonly Turn[]
  readonly tokens: number
  readonly truncated: boolean
  readonly signature: Signature
}

/**
 * @param known whether a row is like one that is kept already, so that no judge need be asked about it
 * @throws Rejection: the row must not stay; FacetError where a service that was asked has failed
 */
export async function sift(
  { row, problem }: RowAt,
  checks: Checks,
  known: (sifted: Sifted) => boolean,
  signal: AbortSignal,
): Promise<Sifted> {
  if (signal.aborted) throw abortedError(signal)
  if (problem !== undefined) throw new Rejection('malformed', problem)
  const turns = checkedTurns(toConversation(row, checks.format))
  checkIdentity(turns, checks)
  const text = textOf(turns)
  await checkPersonalData(text, checks, signal)
  const word = checks.toxic?.(text)
  if (word !== undefined) throw new Rejection('toxic', `it says ${word}`)
  const words = wordHashes(text)
  const leak = checks.benchmarks?.leakIn(words)
  if (leak) {
    throw new Rejection('leakage', `${leak.words} words in a row stand in ${leak.title}, question ${leak.id}`)
  }
  const fit = fitted(turns, checks.model.tokenizer, checks.contextTokens, checks.truncate)
  const sifted = {
    ...fit,
    signature: signatureOf(fit.truncated ? wordHashes(textOf(fit.turns)) : words),
  }
  if (checks.judge && !known(sifted)) await askJudge(fit.turns, checks.judge, signal)
  return sifted
}

function checkIdentity(turns: readonly Turn[], { selfIdentification }: Checks): void {
  if (!selfIdentification) return
  for (const { role, content } of turns) {
    const mistake = role === 'model' ? mistakenIdentity(content) : undefined
    if (mistake) {
      throw new Rejection('self-identification', `it ${mistake.name}: ${JSON.stringify(mistake.found)}`)
    }
  }
}

/** Only what it is: the report is not to spread it. */
async function checkPersonalData(text: string, { detector }: Checks, signal: AbortSignal): Promise<void> {
  const found = (await detector?.find(text, signal)) ?? []
  if (found.length === 0) return
  const types = [...new Set(found.map(({ type }) => type))]
  throw new Rejection('personal-data', `it holds ${types.join(', ')}`)
}

/** Each answer after all that came before it. */
async function askJudge(turns: readonly Turn[], judge: Judge, signal: AbortSignal): Promise<void> {
  for (const [index, { role, content: answer }] of turns.entries()) {
    if (role === 'user') continue
    const question = textOf(turns.slice(0, index))
    const verdict = await judge({ question, answer }, { signal })
    if (verdict.allowed) continue
    const how = verdict.probability === undefined ? '' : ` (${verdict.probability.toFixed(2)})`
    throw new Rejection('unsafe', `answer ${(index + 1) / 2} violates ${verdict.policy ?? 'a policy'}${how}`)
  }
}
