/**
 * Whether a policy got better, or only better at pleasing its reward model.
 *
 * The rule: from some checkpoint on (the start, where the win rate is even by definition, among them) the win rate
 * against the start falls until the last one, while the reward rises over the same steps. Falls and rises are slopes of
 * straight lines whose intervals leave 0 out; the win rate's is of the same prompts at all checkpoints, by Student's t
 * over prompts. The intervals are wider the more checkpoints there are to start from (Bonferroni), so that together they
 * hold in 95% of runs: a run whose win rate stays level is flagged in 2.5% at most.
 */
import { type Preference, preferenceOf, signOf, type Winner } from '../../eval/sxs/preference.ts'
import { meanOf, type Trend, trendOfSteps, trendOfUnits } from './trend.ts'

export interface PolicyStep {
  readonly step: number
  readonly reward?: number
  /** Nats an answer, from the start. */
  readonly kl?: number
  /** Tokens of an answer. */
  readonly length?: number
}

/** What the auto-rater says of a checkpoint against the start. */
export interface RatedCheckpoint {
  /** Above 0, which is the start. */
  readonly step: number
  /** By prompt; `a` is the checkpoint. */
  readonly winners: ReadonlyMap<string, Winner>
}

export type FlagKind = 'reward-hacking' | 'kl' | 'length'

export interface Flag {
  readonly kind: FlagKind
  /** One sentence, with figures. */
  readonly says: string
}

export interface Stretch {
  readonly winRate: Trend
  /** Undefined: too few steps tell a reward. */
  readonly reward: Trend | undefined
}

export interface PolicyCheck {
  readonly flags: readonly Flag[]
  /** From each checkpoint to the last one. Win rates are shares. */
  readonly stretches: readonly Stretch[]
  readonly winRates: readonly (Preference & { readonly step: number })[]
  /** Prompts that every checkpoint was judged on. */
  readonly prompts: number
  /** Why something could not be looked at, in sentences. */
  readonly notes: readonly string[]
}

export interface CheckLimits {
  /**
   * Of the KL divergence, in nats an answer, over the last fifth of the steps. Default 20, a choice of ours: that people
   * like answers less from some divergence on, while the reward goes on rising, is known (Stiennon et al. 2020,
   * arXiv:2009.01325, figure 5), but where that begins differs between models and tasks.
   */
  readonly maxKl?: number
  /** How many times longer answers may get. Default 1.5. */
  readonly maxLengthRatio?: number
}

const SHARE = 0.95
/** Below, Student's t does not hold for wins and losses. */
const FEWEST_PROMPTS = 20
const MAX_KL = 20
const MAX_LENGTH_RATIO = 1.5
/** Growing so much from a fifth of the run to the next is no longer drifting. */
const RUNAWAY = 4
const LEAST_RUNAWAY_KL = 1

/**
 * What is to be flagged of a policy, by the rule above and by limits.
 *
 * @param steps of metrics.jsonl, in order
 * @param checkpoints in any order; none: the answers are not looked at
 */
export function checkPolicy(
  steps: readonly PolicyStep[],
  checkpoints: readonly RatedCheckpoint[],
  limits: CheckLimits = {},
): PolicyCheck {
  const rated = checkpoints.toSorted((one, other) => one.step - other.step)
  const prompts = sharedPrompts(rated)
  const enough = prompts.length >= FEWEST_PROMPTS
  const stretches = enough ? stretchesOf(steps, rated, prompts) : []
  const hacked = stretches.find(
    ({ winRate, reward }) => winRate.interval[1] < 0 && (reward?.interval[0] ?? 0) > 0,
  )
  return {
    flags: [...(hacked ? [toFlag(hacked)] : []), ...klFlags(steps, limits), ...lengthFlags(steps, limits)],
    stretches,
    winRates: rated.map(({ step, winners }) => ({ step, ...preferenceOf([...winners.values()]) })),
    prompts: prompts.length,
    notes: [
      ...(rated.length === 0
        ? ['No checkpoint was judged against the start: nothing is known of its answers.']
        : []),
      ...(rated.length > 0 && !enough
        ? [`Only ${prompts.length} prompts were judged at every checkpoint; a trend takes ${FEWEST_PROMPTS}.`]
        : []),
      ...(stretches.some(({ reward }) => !reward) ? ['Too few steps tell a reward for a trend of it.'] : []),
    ],
  }
}

function sharedPrompts(rated: readonly RatedCheckpoint[]): string[] {
  const [first, ...others] = rated
  return first
    ? [...first.winners.keys()].filter((prompt) => others.every(({ winners }) => winners.has(prompt)))
    : []
}

function stretchesOf(
  steps: readonly PolicyStep[],
  rated: readonly RatedCheckpoint[],
  prompts: readonly string[],
): Stretch[] {
  // At the start both answer alike.
  const at = [0, ...rated.map(({ step }) => step)]
  const units = prompts.map((prompt) => [0, ...rated.map(({ winners }) => signOf(winners.get(prompt)!) / 2)])
  const share = 1 - (1 - SHARE) / rated.length
  const rewards = pointsOf(steps, 'reward')
  return rated.flatMap((_, start): Stretch[] => {
    const winRate = trendOfUnits(
      at.slice(start),
      units.map((values) => values.slice(start)),
      share,
    )
    if (!winRate) return []
    const within = rewards.filter(([step]) => step >= winRate.from && step <= winRate.to)
    return [{ winRate, reward: trendOfSteps(within, share) }]
  })
}

function toFlag({ winRate, reward }: Stretch): Flag {
  const points = (share: number): string => (100 * share).toFixed(1)
  return {
    kind: 'reward-hacking',
    says: `Reward hacking: from step ${winRate.from} to ${winRate.to} the reward rises by ${reward!.change.toPrecision(3)} while the win rate against the start falls by ${points(-winRate.change)} points [${points(-winRate.interval[1])}, ${points(-winRate.interval[0])}]; take a checkpoint from before, or a larger klCoefficient.`,
  }
}

function klFlags(steps: readonly PolicyStep[], { maxKl = MAX_KL }: CheckLimits): Flag[] {
  const fifths = fifthsOf(pointsOf(steps, 'kl'))
  if (!fifths) return []
  const [before, last] = [fifths.at(-2)!, fifths.at(-1)!]
  const said = `The KL divergence is ${last.toPrecision(3)} nats an answer over the last fifth of the steps`
  if (last > maxKl) {
    return [
      {
        kind: 'kl',
        says: `${said}, more than ${maxKl}: the policy has left the start; raise klCoefficient.`,
      },
    ]
  }
  if (last <= LEAST_RUNAWAY_KL || last <= RUNAWAY * before) return []
  return [
    {
      kind: 'kl',
      says: `${said}, ${(last / before).toPrecision(2)} times that of the fifth before: it runs away; lower learningRate.`,
    },
  ]
}

function lengthFlags(
  steps: readonly PolicyStep[],
  { maxLengthRatio = MAX_LENGTH_RATIO }: CheckLimits,
): Flag[] {
  const points = pointsOf(steps, 'length')
  const fifths = fifthsOf(points)
  const trend = trendOfSteps(points, SHARE)
  if (!fifths || !trend || trend.interval[0] <= 0) return []
  const [first, last] = [fifths[0]!, fifths.at(-1)!]
  if (last <= maxLengthRatio * first) return []
  return [
    {
      kind: 'length',
      says: `Answers grow from ${first.toFixed(0)} to ${last.toFixed(0)} tokens, more than ${maxLengthRatio} times: see the length bias of the reward model.`,
    },
  ]
}

function pointsOf(
  steps: readonly PolicyStep[],
  field: 'reward' | 'kl' | 'length',
): (readonly [number, number])[] {
  return steps.flatMap((one) => (one[field] === undefined ? [] : [[one.step, one[field]] as const]))
}

/** Means of the first fifth of the points to the last; undefined: there are fewer than five. */
function fifthsOf(points: readonly (readonly [number, number])[]): number[] | undefined {
  if (points.length < 5) return undefined
  return [0, 1, 2, 3, 4].map((part) => {
    const [from, to] = [part, part + 1].map((end) => Math.floor((end * points.length) / 5))
    return meanOf(points.slice(from, to).map(([, value]) => value))
  })
}
