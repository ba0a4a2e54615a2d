/** Ratings as a report: table and chart, the same for terminals and pages. */
import type { Bars } from '../../chart/chart.ts'
import type { Report, Table } from '../../eval/report.ts'
import { toCount, toNumberText, toRangeText } from '../../eval/text.ts'
import type { Ratings } from './ratings.ts'

export function toRatingReport(files: readonly string[], ratings: Ratings): Report {
  return {
    title: 'Ratings',
    lead: `${files.join(', ')}: ${ratings.ratings.length} players, ${toCount(ratings.comparisons, 'comparison')}.`,
    warnings: [],
    sections: [{ title: 'Ratings', charts: [ratingChart(ratings)], tables: [ratingTable(ratings)] }],
    notes: [
      "Strengths are the most likely ones under Bradley and Terry's model with Davidson's ties. 400 points of Elo are odds of ten to one between wins and losses.",
      'Intervals are of 95%, from the observed information: how far each player may stand from the one, or the mean, that it is measured from. They count each comparison as independent.',
    ],
  }
}

function ratingTable({ ratings, baseline }: Ratings): Table {
  return {
    caption: 'Ratings',
    columns: [
      '',
      'Elo',
      '95% interval',
      baseline === null ? 'Win rate against the mean' : `Win rate against ${baseline}`,
      '95% interval',
      'Wins',
      'Ties',
      'Losses',
    ],
    rows: ratings.map((rating) => [
      rating.player,
      String(Math.round(rating.elo)),
      toRangeText(rating.eloInterval, (value) => String(Math.round(value))),
      toNumberText(rating.winRate, 'share'),
      toRangeText(rating.winRateInterval, (value) => toNumberText(value, 'share')),
      String(rating.wins),
      String(rating.ties),
      String(rating.losses),
    ]),
  }
}

function ratingChart({ ratings, baseline }: Ratings): Bars {
  return {
    kind: 'bars',
    title: `Win rate against ${baseline ?? 'a player of mean strength'}, ties split evenly`,
    bars: ratings.map(({ player, winRate, winRateInterval }) => ({
      label: player,
      value: winRate,
      interval: winRateInterval,
      chosen: player === baseline,
    })),
    limit: { value: 0.5, text: 'even' },
    max: 1,
    format: (share) => toNumberText(share, 'share'),
  }
}
