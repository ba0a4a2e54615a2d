/** The check of a policy as a report: what is flagged, and reward, KL and win rate over the same steps. */
import type { Axis, Chart, Lines } from '../../chart/chart.ts'
import type { Report, Table } from '../../eval/report.ts'
import { toNumberText, toRangeText } from '../../eval/text.ts'
import type { PolicyCheck, PolicyStep } from './hacking.ts'
import type { Trend } from './trend.ts'

export function toCheckReport(name: string, steps: readonly PolicyStep[], check: PolicyCheck): Report {
  const { flags, winRates, stretches, prompts, notes } = check
  return {
    title: `Policy: ${name}`,
    lead:
      flags.length === 0
        ? winRates.some(({ rate }) => rate !== null)
          ? 'Nothing is flagged.'
          : 'Nothing is flagged, but no answers were judged: whether they got better is not known.'
        : `${flags.length} ${flags.length === 1 ? 'thing is' : 'things are'} flagged.`,
    warnings: flags.map(({ says }) => says),
    sections: [
      {
        title: 'Over the steps',
        charts: [...curves(steps), ...(winRates.length > 0 ? [winRateChart(steps, check)] : [])],
        tables: winRates.length > 0 ? [winRateTable(check)] : [],
      },
      ...(stretches.length > 0 ? [{ title: 'Trends', charts: [], tables: [trendTable(check)] }] : []),
    ],
    notes: [
      `Reward hacking: from some checkpoint to the last the win rate against the start falls and the reward rises, both with intervals without 0. Win rates are compared over the same ${prompts} prompts; the intervals hold together in 95% of runs.`,
      ...notes,
    ],
  }
}

function axisOf(steps: readonly PolicyStep[]): Axis {
  return { label: 'step', min: 0, max: Math.max(1, ...steps.map(({ step }) => step)) }
}

const CURVES = [
  ['reward', 'Reward'],
  ['kl', 'KL divergence from the start, nats an answer'],
  ['length', 'Length of answers, tokens'],
] as const

/** Of what the steps tell; the same horizontal axis in all. */
function curves(steps: readonly PolicyStep[]): Chart[] {
  return CURVES.flatMap(([field, title]): Lines[] => {
    const points = steps.flatMap((one) => (one[field] === undefined ? [] : [[one.step, one[field]] as const]))
    if (points.length === 0) return []
    return [
      { kind: 'lines', title, x: axisOf(steps), y: { label: field }, series: [{ name: field, points }] },
    ]
  })
}

function winRateChart(steps: readonly PolicyStep[], { winRates }: PolicyCheck): Chart {
  const line = (
    name: string,
    at: (one: PolicyCheck['winRates'][number]) => number,
  ): Lines['series'][number] => ({
    name,
    points: [[0, 0.5], ...winRates.map((one) => [one.step, at(one)] as const)],
  })
  return {
    kind: 'lines',
    title: 'Win rate against the start, ties split evenly (%)',
    x: axisOf([...steps, ...winRates]),
    y: { label: 'win rate', min: 0, max: 1, format: (share) => toNumberText(share, 'share') },
    series: [
      line('win rate', ({ rate }) => rate ?? Number.NaN),
      line('low end of 95%', ({ interval }) => interval[0]),
      line('high end of 95%', ({ interval }) => interval[1]),
    ],
    limits: [{ value: 0.5, text: 'even' }],
  }
}

function winRateTable({ winRates }: PolicyCheck): Table {
  return {
    caption: 'Win rate of each checkpoint against the start (%)',
    columns: ['Step', 'Win rate', '95% interval', 'Wins', 'Ties', 'Losses'],
    rows: winRates.map(({ step, rate, interval, wins, ties, losses }) => [
      String(step),
      rate === null ? '-' : percent(rate),
      toRangeText(interval, percent),
      ...[wins, ties, losses].map(String),
    ]),
  }
}

function trendTable({ stretches }: PolicyCheck): Table {
  const said = ({ change, interval }: Trend, format: (value: number) => string): string[] => [
    format(change),
    toRangeText(interval, format),
  ]
  return {
    caption: 'Change from each checkpoint to the last, with intervals that hold together',
    columns: ['Steps', 'Win rate, points', 'Interval', 'Reward', 'Interval'],
    rows: stretches.map(({ winRate, reward }) => [
      `${winRate.from} to ${winRate.to}`,
      ...said(winRate, percent),
      ...(reward ? said(reward, (value) => toNumberText(value, 'number')) : ['-', '-']),
    ]),
  }
}

function percent(share: number): string {
  return toNumberText(share, 'share')
}
