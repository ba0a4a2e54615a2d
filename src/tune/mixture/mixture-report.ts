/** Which mixture is the best, as far as the judgements tell: table, chart and a sentence. */
import type { Report } from '../../eval/report.ts'
import type { ModelSettings } from '../../eval/summary.ts'
import { toCount, toNumberText, toRangeText } from '../../eval/text.ts'
import type { JudgedMixture } from './judge-mixtures.ts'

const percent = (share: number): string => toNumberText(share, 'share')
const intervalOf = ({ preference }: JudgedMixture): string => toRangeText(preference.interval, percent)

/** The best first; those without any verdict last. */
export function ranked(mixtures: readonly JudgedMixture[]): JudgedMixture[] {
  return mixtures.toSorted((a, b) => (b.preference.rate ?? -1) - (a.preference.rate ?? -1))
}

/** In a sentence: the best, or whose intervals overlap, so that it cannot be told. */
export function verdictOn(mixtures: readonly JudgedMixture[]): string {
  const [best, ...others] = ranked(mixtures)
  if (!best || best.preference.rate === null)
    return 'No pair was judged, so that nothing can be told; what the judge said stands in the samples.jsonl of each mixture.'
  const { rate, interval } = best.preference
  const said = `${best.name} wins ${percent(rate)}% against the baseline, ${intervalOf(best)}`
  const beaten =
    interval[0] > 0.5
      ? ''
      : interval[1] < 0.5
        ? ' The baseline is better than all of them.'
        : ' It is not shown to be better than the baseline.'
  if (others.length === 0) return `${said}.${beaten}`
  const near = others.filter(({ preference }) => preference.interval[1] >= interval[0])
  if (near.length === 0) return `${said}: it is the best mixture.${beaten}`
  const names = near.map((one) => `${one.name} ${intervalOf(one)}`).join(' and ')
  return `${said}, but its interval overlaps with ${names}: the best mixture cannot be told without more prompts.${beaten}`
}

export function toMixtureReport(
  mixtures: readonly JudgedMixture[],
  baseline: ModelSettings,
  judge: ModelSettings,
): Report {
  const order = ranked(mixtures)
  const chosen = order[0]
  return {
    title: 'Mixtures of tuning data',
    lead: verdictOn(mixtures),
    warnings: [],
    sections: [
      {
        title: 'Side by side with the baseline',
        charts: [
          {
            kind: 'bars',
            title: 'Win rate against the baseline, ties split evenly, in percent',
            bars: order.map((one) => {
              const { rate, interval } = one.preference
              return {
                label: one.name,
                value: rate,
                ...(rate !== null && { interval }),
                chosen: one === chosen,
              }
            }),
            limit: { value: 0.5, text: 'even' },
            max: 1,
            format: percent,
          },
        ],
        tables: [
          {
            caption: 'Pairs by what the judge preferred',
            columns: ['mixture', 'model', 'win rate', '95%', 'wins', 'ties', 'losses', 'pairs'],
            rows: order.map((one) => {
              const { rate, wins, ties, losses, count } = one.preference
              return [
                one.name,
                one.model.id,
                rate === null ? '-' : percent(rate),
                intervalOf(one),
                ...[wins, ties, losses, count].map(String),
              ]
            }),
          },
        ],
      },
    ],
    notes: [
      `The baseline is ${baseline.id}, the judge ${judge.id}. All models answered the same prompts; every mixture was compared with the same answers of the baseline.`,
      `Each mixture has a folder with its side-by-side run and ${toCount(order[0]?.preference.count ?? 0, 'pair')}; facet eval report writes the report of one.`,
      'An interval holds the true rate in 95 of 100 such comparisons. Where two overlap, the order of the two may be chance.',
    ],
  }
}
