/** What a reward model's quality comes to, as a report: tables, the reliability curve, and what to beware of. */
import type { Chart } from '../../chart/chart.ts'
import type { Report, Table } from '../../eval/report.ts'
import { toCount, toNumberText, toRangeText } from '../../eval/text.ts'
import type { RewardQuality, Share } from './reward-quality.ts'

export function toRewardReport(name: string, quality: RewardQuality): Report {
  const { pairs, prompts } = quality
  return {
    title: `Reward model: ${name}`,
    lead: `${toCount(pairs, 'held-out pair')} of ${toCount(prompts, 'prompt')}.`,
    warnings: warningsOf(quality),
    sections: [
      { title: 'Quality', charts: [reliabilityChart(quality)], tables: [qualityTable(quality)] },
      { title: 'Calibration', charts: [], tables: [reliabilityTable(quality)] },
      { title: 'By margin', charts: [differenceChart(quality)], tables: marginTables(quality) },
      { title: 'Length', charts: [], tables: [lengthTable(quality)] },
    ],
    notes: [
      'Intervals are of 95%. Where several pairs have the same prompt, they count prompts.',
      `A constant that knows nothing has a log loss of ${number(Math.LN2)} and a Brier score of 0.25.`,
      'Confidence is the chance, by the difference of the rewards, that the answer ranked first is the preferred one.',
      'Correlations are of differences within pairs, so that prompts with long answers do not make them.',
    ],
  }
}

function warningsOf({ accuracy, logLoss, constantLogLoss, length }: RewardQuality): string[] {
  return [
    ...(accuracy.interval[0] <= 0.5
      ? ['Its accuracy cannot be told from a coin: a policy trained on it would learn noise.']
      : []),
    ...(logLoss >= constantLogLoss
      ? ['Its chances are worse than a constant: rewards are too far apart for what they know.']
      : []),
    ...(length.interval[0] > length.ofPeople
      ? ['It likes length more than people do: expect answers to grow while a policy is trained on it.']
      : []),
  ]
}

function qualityTable({ accuracy, logLoss, brier, calibrationError }: RewardQuality): Table {
  return {
    caption: 'Quality on held-out pairs',
    columns: ['', 'Value', '95% interval', 'Pairs'],
    rows: [
      ['accuracy (%)', ...shareCells(accuracy)],
      ['log loss', number(logLoss), '-', String(accuracy.count)],
      ['log loss of a constant', number(Math.LN2), '-', '-'],
      ['Brier score', number(brier), '-', String(accuracy.count)],
      ['expected calibration error (%)', percent(calibrationError), '-', String(accuracy.count)],
    ],
  }
}

function reliabilityTable({ reliability }: RewardQuality): Table {
  return {
    caption: 'Confidence and accuracy (%)',
    columns: ['Confidence', 'Mean', 'Accuracy', '95% interval', 'Pairs'],
    rows: reliability.map(({ from, to, confidence, accuracy }) => [
      `${percent(from)} to ${percent(to)}`,
      percent(confidence),
      ...shareCells(accuracy),
    ]),
  }
}

function reliabilityChart({ reliability }: RewardQuality): Chart {
  return {
    kind: 'lines',
    title: 'Reliability: how often confidence is right',
    x: { label: 'confidence', min: 0.5, max: 1, format: percent },
    y: { label: 'accuracy', min: 0, max: 1, format: percent },
    series: [
      { name: 'model', points: reliability.map(({ confidence, accuracy }) => [confidence, accuracy.value]) },
      {
        name: 'perfect',
        points: [
          [0.5, 0.5],
          [1, 1],
        ],
      },
    ],
  }
}

function differenceChart({ byDifference }: RewardQuality): Chart {
  return {
    kind: 'bars',
    title: 'Accuracy by the difference of the rewards',
    bars: byDifference.map(({ from, to, value, interval: ends }) => ({
      label: `${number(from)} to ${number(to)}`,
      value,
      interval: ends,
    })),
    limit: { value: 0.5, text: 'a coin' },
    max: 1,
    format: percent,
  }
}

function marginTables({ byDifference, byMargin }: RewardQuality): Table[] {
  const columns = ['Accuracy', '95% interval', 'Pairs']
  return [
    {
      caption: 'Accuracy (%) by the difference of the rewards',
      columns: ['Difference', ...columns],
      rows: byDifference.map((part) => [`${number(part.from)} to ${number(part.to)}`, ...shareCells(part)]),
    },
    ...(byMargin.length === 0
      ? []
      : [
          {
            caption: 'Accuracy (%) by the margin that people gave',
            columns: ['Margin', ...columns],
            rows: byMargin.map((part) => [number(part.margin), ...shareCells(part)]),
          },
        ]),
  ]
}

function lengthTable({ length }: RewardQuality): Table {
  const shareRow = (name: string, share: Share | null): string[][] =>
    share ? [[name, ...shareCells(share)]] : []
  return {
    caption: 'Length',
    columns: ['', 'Value', '95% interval', 'Pairs'],
    rows: [
      [
        'correlation of reward and length',
        number(length.ofReward),
        toRangeText(length.interval, number),
        '-',
      ],
      ['the same of what people prefer', number(length.ofPeople), '-', '-'],
      ...shareRow('the longer answer is preferred (%)', length.longerWins),
      ...shareRow('accuracy where the longer is preferred (%)', length.whenLonger),
      ...shareRow('accuracy where the shorter is preferred (%)', length.whenShorter),
    ],
  }
}

function shareCells({ value, interval: ends, count }: Share): string[] {
  return [percent(value), toRangeText(ends, percent), String(count)]
}

function percent(share: number): string {
  return toNumberText(share, 'share')
}

function number(value: number): string {
  return toNumberText(value, 'number')
}
