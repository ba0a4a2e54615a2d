/** Side-by-side runs as judged pairs: what people said on the raters' page, or what the judge decided. */
import { FacetError } from '../../errors.ts'
import { Ratings } from '../../eval/rate/ratings.ts'
import type { ModelSettings } from '../../eval/summary.ts'
import { outcomeOf, type Pair, type Side } from '../../eval/sxs/pair.ts'
import { type Winner, winnerOf } from '../../eval/sxs/preference.ts'
import { readPairs } from '../../eval/sxs/read-pairs.ts'
import type { Judged } from './judged.ts'

/** Whose verdict counts. */
export type JudgedBy = 'people' | 'judge'

export interface JudgedRuns {
  readonly judged: readonly Judged[]
  /** Pairs that nobody has judged, or whose verdict cannot be read. */
  readonly unjudged: number
}

interface ReadRun {
  readonly path: string
  readonly models: Readonly<Record<Side, ModelSettings>>
  readonly pairs: readonly (Pick<Judged, 'winner' | 'verdicts'> & { readonly pair: Pair })[]
  readonly unjudged: number
}

/**
 * @param by left out: people, in the runs that any of them has rated
 * @throws FacetError invalid_request (no side-by-side run; nobody has rated it), io_failed
 */
export async function readRuns(paths: readonly string[], by?: JudgedBy): Promise<JudgedRuns> {
  const runs = await Promise.all(paths.map((path) => readRun(path, by)))
  const nameOf = playerNames(runs.flatMap(({ models }) => [models.a, models.b]))
  return {
    judged: runs.flatMap(({ path, models, pairs }) =>
      pairs.map(
        ({ pair, winner, verdicts }): Judged => ({
          place: `${path}, pair ${pair.id}`,
          prompt: [{ role: 'user', content: pair.prompt }],
          a: pair.a,
          b: pair.b,
          winner,
          players: { a: nameOf(models.a), b: nameOf(models.b) },
          verdicts,
        }),
      ),
    ),
    unjudged: runs.reduce((sum, { unjudged }) => sum + unjudged, 0),
  }
}

async function readRun(path: string, by: JudgedBy | undefined): Promise<ReadRun> {
  const { settings, pairs } = await readPairs(path)
  const { a, b } = settings.models
  if (!a || !b)
    throw new FacetError('invalid_request', `${path} names no two models; run facet eval sxs again.`)
  const rated = Ratings.exist(path)
  if (by === 'people' && !rated) {
    throw new FacetError(
      'invalid_request',
      `Nobody has rated ${path} yet; let people do it with facet eval rate, or take --by judge.`,
      { field: 'by' },
    )
  }
  const found = rated && by !== 'judge' ? byPeople(path, pairs) : byJudge(pairs)
  return { path, models: { a, b }, pairs: found, unjudged: pairs.length - found.length }
}

function byJudge(pairs: readonly Pair[]): ReadRun['pairs'] {
  return pairs.flatMap((pair) => {
    const winner = outcomeOf(pair)
    if (!winner) return []
    const verdicts = pair.judgements.flatMap(({ first, winner: said }) =>
      said === null ? [] : [{ first, winner: said }],
    )
    return [{ pair, winner, verdicts }]
  })
}

/** Each pair goes to whom most raters gave it: raters of one pair are no independent comparisons. */
function byPeople(path: string, pairs: readonly Pair[]): ReadRun['pairs'] {
  const ratings = new Ratings(path)
  try {
    const all = Map.groupBy(ratings.all(), ({ pair }) => pair)
    return pairs.flatMap((pair) => {
      const verdicts = (all.get(pair.id) ?? []).map(({ first, winner }) => ({ first, winner }))
      const winner: Winner | undefined = winnerOf(verdicts.map((verdict) => verdict.winner))
      return winner ? [{ pair, winner, verdicts }] : []
    })
  } finally {
    ratings[Symbol.dispose]()
  }
}

/** By its id, and by where and how it runs too where several models have the same. */
function playerNames(models: readonly ModelSettings[]): (model: ModelSettings) => string {
  const keyOf = ({ id, backend, quantization, sha256 }: ModelSettings): string =>
    JSON.stringify([id, backend, quantization, sha256])
  const keys = Map.groupBy(new Map(models.map((model) => [keyOf(model), model])).values(), ({ id }) => id)
  return (model) => {
    if (keys.get(model.id)!.length === 1) return model.id
    const more = [model.backend, model.quantization, model.sha256?.slice(0, 8)].filter(
      (one) => one !== undefined,
    )
    return `${model.id} (${more.join(', ')})`
  }
}
