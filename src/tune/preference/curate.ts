/** From judged pairs to preference data: refused, dropped or kept, each for a reason, and split by prompt. */
import { FacetError } from '../../errors.ts'
import { drawOf } from '../../eval/draw.ts'
import { signOf } from '../../eval/sxs/preference.ts'
import { toCount } from '../../eval/text.ts'
import type { Judged, PromptTurn } from './judged.ts'
import { checkSides } from './one-sided.ts'

/** A pair that a reward model learns from. */
export interface Preference {
  readonly place: string
  readonly prompt: readonly PromptTurn[]
  readonly chosen: string
  readonly rejected: string
  readonly margin?: number
}

/** Why a pair is left out, with what reports call it. */
export const DROPS = {
  tie: 'ties',
  empty: 'preferred answer empty',
  same: 'same answer on both sides',
  'too-long': 'over the context',
  duplicate: 'the same pair again',
  contradiction: 'preferred both ways',
  straddling: 'prompt also held out',
} as const

export type Drop = keyof typeof DROPS

export interface Dropped {
  readonly why: Drop
  readonly judged: Judged
}

export interface CurateOptions {
  /** Decides which prompts are held out. */
  readonly seed: number
  /** Of the prompts, how many are held out: above 0, below 1. Not used with `heldOut`. */
  readonly evalShare: number
  /** Pairs to hold out that come from elsewhere: their prompts are taken out of the training data. */
  readonly heldOut?: readonly Judged[]
  /** Take data in which one side always wins. */
  readonly oneSided?: boolean
  /** Longest prompt with an answer. */
  readonly context?: {
    readonly tokens: number
    /** Tokens of a prompt and its answer, in the model's template. */
    readonly lengthOf: (prompt: readonly PromptTurn[], answer: string) => number
  }
}

export interface Curated {
  readonly train: readonly Preference[]
  readonly eval: readonly Preference[]
  readonly dropped: readonly Dropped[]
  /** What is odd in it, but no reason to refuse it, in sentences. */
  readonly warnings: readonly string[]
}

/** @throws FacetError invalid_request: there are no pairs, they are one-sided, or too few are left to split */
export function curate(judged: readonly Judged[], options: CurateOptions): Curated {
  const { heldOut } = options
  if (judged.length === 0) throw refused('There are no judged pairs; give files or runs that hold some.')
  const warnings = checkSides([...judged, ...(heldOut ?? [])], options.oneSided ?? false)
  const dropped: Dropped[] = []
  const drop = (why: Drop, ...pairs: readonly Judged[]): void => {
    dropped.push(...pairs.map((pair) => ({ why, judged: pair })))
  }
  const usable = merged(sifted(judged, options, drop), drop)
  const own = heldOut && merged(sifted(heldOut, options, drop), drop)
  const isHeldOut = own ? among(own) : drawn(usable, options)
  const train = usable.filter((pair) => !isHeldOut(pair))
  if (own) drop('straddling', ...usable.filter(isHeldOut))
  const held = own ?? usable.filter(isHeldOut)
  if (train.length === 0 || held.length === 0) {
    const prompts = new Set(usable.map(keyOfPrompt)).size
    throw refused(
      `Of ${toCount(judged.length, 'judged pair')}, ${usable.length} can be used, of ${toCount(prompts, 'prompt')}${saidDrops(dropped)}: too few to train on some and hold others out; collect more.`,
    )
  }
  return { train: train.map(toPreference), eval: held.map(toPreference), dropped, warnings }
}

/** How many were dropped for what, most first. */
export function dropCounts(dropped: readonly Dropped[]): (readonly [why: Drop, count: number])[] {
  const counts = [...Map.groupBy(dropped, ({ why }) => why)].map(
    ([why, those]) => [why, those.length] as const,
  )
  return counts.toSorted((one, other) => other[1] - one[1])
}

function saidDrops(dropped: readonly Dropped[]): string {
  const parts = dropCounts(dropped).map(([why, count]) => `${count} ${DROPS[why]}`)
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}

/** What can be judged of a pair alone. */
function sifted(
  judged: readonly Judged[],
  { context }: CurateOptions,
  drop: (why: Drop, pair: Judged) => void,
): Judged[] {
  return judged.filter((pair) => {
    const why = dropOf(pair, context)
    if (why) drop(why, pair)
    return why === undefined
  })
}

function dropOf(pair: Judged, context: CurateOptions['context']): Drop | undefined {
  if (pair.a.trim() === pair.b.trim()) return 'same'
  if (pair.winner === 'tie') return 'tie'
  if (pair[pair.winner].trim() === '') return 'empty'
  const longest = context && Math.max(...[pair.a, pair.b].map((one) => context.lengthOf(pair.prompt, one)))
  return longest !== undefined && longest > context!.tokens ? 'too-long' : undefined
}

/** Pairs of the same two answers to the same prompt as one, the way most of them go; as often both ways: none. */
function merged(judged: readonly Judged[], drop: (why: Drop, ...pairs: readonly Judged[]) => void): Judged[] {
  return [...Map.groupBy(judged, keyOfPair).values()].flatMap((same) => {
    const [one] = same as [Judged]
    const lean = same.reduce((sum, pair) => sum + signOf(pair.winner) * (pair.a === one.a ? 1 : -1), 0)
    const kept = same.find((pair) => signOf(pair.winner) * (pair.a === one.a ? 1 : -1) * lean > 0)
    const others = same.filter((pair) => pair !== kept)
    const agrees = (pair: Judged): boolean =>
      kept !== undefined && pair[pair.winner === 'b' ? 'b' : 'a'] === kept[kept.winner === 'b' ? 'b' : 'a']
    drop('duplicate', ...others.filter(agrees))
    drop('contradiction', ...others.filter((pair) => !agrees(pair)))
    return kept ? [kept] : []
  })
}

/** Whether a pair's prompt is one of those that the seed chose. */
function drawn(judged: readonly Judged[], { seed, evalShare }: CurateOptions): (pair: Judged) => boolean {
  const prompts = [...new Set(judged.map(keyOfPrompt))]
  const order = prompts
    .map((prompt) => ({ prompt, at: drawOf(seed, 'held out', prompt) }))
    .sort((one, other) => one.at - other.at)
  const wanted = Math.min(prompts.length - 1, Math.max(1, Math.round(evalShare * prompts.length)))
  const chosen = new Set(order.slice(0, Math.max(0, wanted)).map(({ prompt }) => prompt))
  return (pair) => chosen.has(keyOfPrompt(pair))
}

function among(judged: readonly Judged[]): (pair: Judged) => boolean {
  const prompts = new Set(judged.map(keyOfPrompt))
  return (pair) => prompts.has(keyOfPrompt(pair))
}

/** The same for prompts that differ in white space and case alone: a model learns the same of them. */
function keyOfPrompt({ prompt }: Judged): string {
  return JSON.stringify(
    prompt.map(({ role, content }) => [role, content.toLowerCase().split(/\s+/).join(' ').trim()]),
  )
}

function keyOfPair(pair: Judged): string {
  return JSON.stringify([keyOfPrompt(pair), ...[pair.a, pair.b].toSorted()])
}

function toPreference({ place, prompt, a, b, winner, margin }: Judged): Preference {
  const [chosen, rejected] = winner === 'b' ? [b, a] : [a, b]
  return { place, prompt, chosen, rejected, ...(margin !== undefined && { margin }) }
}

function refused(message: string): FacetError {
  return new FacetError('invalid_request', message, { field: 'files' })
}
