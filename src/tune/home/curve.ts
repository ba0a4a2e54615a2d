/** The loss of a run, drawn: in a terminal with braille dots, and as charts for a page. */
import type { Chart } from '../../chart/chart.ts'
import type { JobLine } from '../job/job.ts'

type Point = readonly [step: number, value: number]

/** What metrics.jsonl tells over the steps. */
export interface Curves {
  readonly loss: readonly Point[]
  /** Of the rows that were held out. */
  readonly evalLoss: readonly Point[]
  readonly reward: readonly Point[]
  readonly kl: readonly Point[]
  /** Of reward models. */
  readonly accuracy: readonly Point[]
}

/** Values that are no number are left out: a loss that has become NaN leaves a gap. */
export function toCurves(lines: readonly JobLine[]): Curves {
  const steps = lines.filter((line) => line.facet === 'step')
  const evals = lines.filter((line) => line.facet === 'eval')
  const of = (name: 'reward' | 'kl' | 'accuracy'): Point[] => known(steps.map((one) => [one.step, one[name]]))
  return {
    loss: known(steps.map(({ step, loss }) => [step, loss])),
    evalLoss: known(evals.map(({ step, loss }) => [step, loss])),
    reward: of('reward'),
    kl: of('kl'),
    accuracy: of('accuracy'),
  }
}

function known(points: readonly (readonly [number, number | undefined])[]): Point[] {
  return points.flatMap(([step, value]) =>
    value !== undefined && Number.isFinite(value) ? [[step, value] as const] : [],
  )
}

/** Charts for a page; none where there is nothing to draw. */
export function toCharts({ loss, evalLoss, reward, kl, accuracy }: Curves): Chart[] {
  const x = { label: 'step' }
  const lines = (title: string, label: string, series: readonly (readonly [string, readonly Point[]])[]) => {
    const drawn = series.filter(([, points]) => points.length > 0)
    if (drawn.length === 0) return []
    const named = drawn.map(([name, points]) => ({ name, points }))
    return [{ kind: 'lines', title, x, y: { label }, series: named } as const]
  }
  return [
    ...lines('Loss', 'nats a token', [
      ['training', loss],
      ['held out', evalLoss],
    ]),
    ...lines('Reward', 'reward', [['reward', reward]]),
    ...lines('KL to the SFT model', 'nats', [['kl', kl]]),
    ...lines('Accuracy on pairs', 'share', [['accuracy', accuracy]]),
  ]
}

export interface TerminalSize {
  readonly columns: number
  /** Of the drawing, without its axis. Default 10. */
  readonly rows?: number
}

const LEAST_COLUMNS = 20
/** Of a braille character: two dots wide, four high. */
const DOTS = [2, 4] as const
/** Bit of each dot, by column and row, as Unicode numbers them. */
const BITS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const
const EVAL_MARK = '◆'

/**
 * Lines of a terminal: the loss in braille dots, what was measured on held-out rows as marks, the steps below.
 * Never wider than `columns`; nothing where there is nothing to draw, or too little room.
 */
export function drawLoss({ loss, evalLoss }: Curves, { columns, rows = 10 }: TerminalSize): string[] {
  const points = [...loss, ...evalLoss]
  if (points.length === 0 || columns < LEAST_COLUMNS) return []
  const [low, high] = rangeOf(points.map(([, value]) => value))
  const [first, last] = rangeOf(points.map(([step]) => step))
  const labels = [high, low].map(toLabel)
  const margin = Math.max(...labels.map(({ length }) => length)) + 2
  const width = columns - margin
  const canvas = new Canvas(width, rows)
  const place = ([step, value]: Point): [number, number] => [
    Math.round(((step - first) / (last - first)) * (width * DOTS[0] - 1)),
    Math.round(((high - value) / (high - low)) * (rows * DOTS[1] - 1)),
  ]
  for (const [index, point] of loss.entries()) canvas.line(place(loss[index - 1] ?? point), place(point))
  for (const point of evalLoss) canvas.mark(place(point), EVAL_MARK)
  const body = canvas.lines().map((line, row) => {
    const label = row === 0 ? labels[0]! : row === rows - 1 ? labels[1]! : ''
    return `${label.padStart(margin - 2)} ${row === 0 || row === rows - 1 ? '┤' : '│'}${line}`.trimEnd()
  })
  const steps = [`${first}`, `step ${last}`]
  const space = Math.max(1, width - steps[0]!.length - steps[1]!.length)
  const axis = `${' '.repeat(margin - 1)}└${'─'.repeat(width)}`
  const below = `${' '.repeat(margin)}${steps[0]}${' '.repeat(space)}${steps[1]}`.slice(0, columns)
  const legend = evalLoss.length > 0 ? [`${' '.repeat(margin)}⠒ training  ${EVAL_MARK} held out`] : []
  return [...body, axis, below, ...legend].map((line) => line.slice(0, columns))
}

/** Never empty: of equal values something is made to stand on. */
function rangeOf(values: readonly number[]): readonly [low: number, high: number] {
  const low = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY)
  const high = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  return high > low ? [low, high] : [low, low + (Math.abs(low) || 1)]
}

function toLabel(value: number): string {
  const size = Math.abs(value)
  return size !== 0 && (size >= 10_000 || size < 0.001) ? value.toExponential(1) : value.toPrecision(4)
}

class Canvas {
  readonly #width: number
  readonly #height: number
  readonly #dots: Uint8Array
  readonly #marks = new Map<number, string>()

  /** In characters. */
  constructor(width: number, height: number) {
    this.#width = width
    this.#height = height
    this.#dots = new Uint8Array(width * height)
  }

  line([x0, y0]: readonly [number, number], [x1, y1]: readonly [number, number]): void {
    const count = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1)
    for (let index = 0; index <= count; index++) {
      const share = index / count
      this.#dot(Math.round(x0 + (x1 - x0) * share), Math.round(y0 + (y1 - y0) * share))
    }
  }

  mark([x, y]: readonly [number, number], mark: string): void {
    this.#marks.set(this.#cellOf(x, y), mark)
  }

  lines(): string[] {
    return Array.from({ length: this.#height }, (_, row) =>
      Array.from({ length: this.#width }, (_, column) => {
        const cell = row * this.#width + column
        const dots = this.#dots[cell]!
        return this.#marks.get(cell) ?? (dots === 0 ? ' ' : String.fromCodePoint(0x2800 + dots))
      }).join(''),
    )
  }

  #dot(x: number, y: number): void {
    this.#dots[this.#cellOf(x, y)]! |= BITS[x % DOTS[0]]![y % DOTS[1]]!
  }

  #cellOf(x: number, y: number): number {
    return Math.floor(y / DOTS[1]) * this.#width + Math.floor(x / DOTS[0])
  }
}
