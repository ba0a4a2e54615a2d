/** How good a reward model is on pairs it has not seen: accuracy, calibration, and whether it merely likes length. */
import { type Interval, shareInterval, Z } from '../../eval/intervals.ts'
import type { ScoredPair } from './scores.ts'
import { meanOf } from './trend.ts'

export interface Share {
  readonly value: number
  /** Of 95%. */
  readonly interval: Interval
  /** Pairs. */
  readonly count: number
}

/** Pairs whose confidence is about the same. */
export interface ReliabilityBin {
  readonly from: number
  readonly to: number
  /** Mean chance that the model gives the answer it ranks first. */
  readonly confidence: number
  /** How often that answer is the one people preferred. */
  readonly accuracy: Share
}

export interface LengthBias {
  /** Of the difference of rewards and that of lengths, over pairs, with its interval (Fisher 1921). */
  readonly ofReward: number
  readonly interval: Interval
  /** The same of what people preferred: what is beyond it is the model's own liking. */
  readonly ofPeople: number
  /** How often the longer answer is preferred: what a ruler would get right. */
  readonly longerWins: Share | null
  readonly whenLonger: Share | null
  readonly whenShorter: Share | null
}

export interface RewardQuality {
  readonly pairs: number
  readonly prompts: number
  /** Pairs ranked as people do; equal rewards count half. */
  readonly accuracy: Share
  /** Mean of -ln of the chance that Bradley and Terry's model gives what people preferred. */
  readonly logLoss: number
  /** Of the best constant, which knows nothing: ln 2. */
  readonly constantLogLoss: number
  /** Mean squared distance of the chances from what happened; 0.25 of the constant. */
  readonly brier: number
  /** Mean distance of confidence and accuracy, over bins, weighed by their pairs. */
  readonly calibrationError: number
  readonly reliability: readonly ReliabilityBin[]
  /** By how far the rewards are apart, in four parts of the same size. */
  readonly byDifference: readonly (Share & { readonly from: number; readonly to: number })[]
  /** By how much better people found it, where they said. */
  readonly byMargin: readonly (Share & { readonly margin: number })[]
  readonly length: LengthBias
}

const BINS = 10
const PARTS = 4

/** @param pairs at least one */
export function rewardQuality(pairs: readonly ScoredPair[]): RewardQuality {
  const chances = pairs.map((pair) => sigmoid(differenceOf(pair)))
  const reliability = reliabilityOf(pairs)
  return {
    pairs: pairs.length,
    prompts: new Set(pairs.map(({ prompt }) => prompt)).size,
    accuracy: accuracyOf(pairs),
    logLoss: meanOf(pairs.map((pair) => softplus(-differenceOf(pair)))),
    constantLogLoss: Math.LN2,
    brier: meanOf(chances.map((chance) => (1 - chance) ** 2)),
    calibrationError:
      reliability.reduce(
        (sum, { confidence, accuracy }) => sum + accuracy.count * Math.abs(accuracy.value - confidence),
        0,
      ) / pairs.length,
    reliability,
    byDifference: byDifference(pairs),
    byMargin: byMargin(pairs),
    length: lengthBias(pairs),
  }
}

/** Pairs of one prompt are alike: the interval counts prompts, not pairs, where they differ. */
function accuracyOf(pairs: readonly ScoredPair[]): Share {
  const count = pairs.length
  const scores = pairs.map((pair) => (1 + Math.sign(differenceOf(pair))) / 2)
  const value = meanOf(scores)
  const prompts = [...Map.groupBy(scores.keys(), (at) => pairs[at]!.prompt).values()]
  if (prompts.length === count) return { value, interval: shareInterval(value * count, count), count }
  if (prompts.length === 1) return { value, interval: [0, 1], count }
  // The spread of prompts' sums around what the share would make them (ratio estimator, Cochran 1977, 9A).
  const squares = prompts.reduce(
    (sum, those) => sum + those.reduce((own, at) => own + scores[at]! - value, 0) ** 2,
    0,
  )
  const half = Z * Math.sqrt((squares * prompts.length) / (prompts.length - 1)) * (1 / count)
  // Where all prompts agree they show no spread, and still are but so many: Wilson's interval of as many trials.
  const [low, high] = shareInterval(value * prompts.length, prompts.length)
  if (squares === 0) return { value, interval: [low, high], count }
  return { value, interval: [Math.max(0, value - half), Math.min(1, value + half)], count }
}

/** Confidence is that in the answer ranked first, so from one half to 1: which answer is called the first does not matter. */
function reliabilityOf(pairs: readonly ScoredPair[]): ReliabilityBin[] {
  const confidenceOf = (pair: ScoredPair): number => sigmoid(Math.abs(differenceOf(pair)))
  const binOf = (pair: ScoredPair): number =>
    Math.min(BINS - 1, Math.floor((confidenceOf(pair) - 0.5) * 2 * BINS))
  return [...Map.groupBy(pairs, binOf)]
    .toSorted(([one], [other]) => one - other)
    .map(([bin, those]) => ({
      from: 0.5 + bin / (2 * BINS),
      to: 0.5 + (bin + 1) / (2 * BINS),
      confidence: meanOf(those.map(confidenceOf)),
      accuracy: accuracyOf(those),
    }))
}

function byDifference(pairs: readonly ScoredPair[]): RewardQuality['byDifference'] {
  const sizeOf = (pair: ScoredPair): number => Math.abs(differenceOf(pair))
  const sorted = pairs.toSorted((one, other) => sizeOf(one) - sizeOf(other))
  const parts = Math.min(PARTS, sorted.length)
  return Array.from({ length: parts }, (_, part) => {
    const those = sorted.slice(
      Math.floor((part * sorted.length) / parts),
      Math.floor(((part + 1) * sorted.length) / parts),
    )
    return { ...accuracyOf(those), from: sizeOf(those[0]!), to: sizeOf(those.at(-1)!) }
  })
}

function byMargin(pairs: readonly ScoredPair[]): RewardQuality['byMargin'] {
  const known = pairs.filter(({ margin }) => margin !== undefined)
  return [...Map.groupBy(known, ({ margin }) => margin!)]
    .toSorted(([one], [other]) => one - other)
    .map(([margin, those]) => ({ ...accuracyOf(those), margin }))
}

function lengthBias(pairs: readonly ScoredPair[]): LengthBias {
  const lengthOf = ({ chosenTokens, rejectedTokens }: ScoredPair): number => chosenTokens - rejectedTokens
  const longer = pairs.filter((pair) => lengthOf(pair) > 0)
  const shorter = pairs.filter((pair) => lengthOf(pair) < 0)
  const uneven = longer.length + shorter.length
  const ofReward = correlationOf(pairs.map((pair) => [differenceOf(pair), lengthOf(pair)]))
  return {
    ofReward,
    interval: fisherInterval(ofReward, pairs.length),
    ofPeople: correlationOf(pairs.map((pair) => [1, lengthOf(pair)])),
    longerWins:
      uneven === 0
        ? null
        : { value: longer.length / uneven, interval: shareInterval(longer.length, uneven), count: uneven },
    whenLonger: longer.length === 0 ? null : accuracyOf(longer),
    whenShorter: shorter.length === 0 ? null : accuracyOf(shorter),
  }
}

/**
 * Of differences, around 0 and not around their means: each pair could as well be written the other way round, and with
 * both ways in, the means are 0.
 */
function correlationOf(points: readonly (readonly [number, number])[]): number {
  const sum = (of: (x: number, y: number) => number): number =>
    points.reduce((total, [x, y]) => total + of(x, y), 0)
  const spread = Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y))
  return spread === 0 ? 0 : sum((x, y) => x * y) / spread
}

function fisherInterval(correlation: number, count: number): Interval {
  if (count <= 3) return [-1, 1]
  const middle = Math.atanh(Math.max(-1 + 1e-12, Math.min(1 - 1e-12, correlation)))
  const half = Z / Math.sqrt(count - 3)
  return [Math.tanh(middle - half), Math.tanh(middle + half)]
}

function differenceOf({ chosen, rejected }: ScoredPair): number {
  return chosen - rejected
}

function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))
}

/** ln(1 + exp(x)), without overflow. */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
}
