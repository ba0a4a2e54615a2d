/** Some rows for a reader: a few of every outcome, drawn by a seed while all of them pass by. */
import type { SampleView } from '../../eval/summary.ts'
import type { Turn } from '../../gemma/chat-template.ts'
import { randomFrom } from '../../random.ts'
import { REASONS, type Reason } from './rejection.ts'

/** Of each outcome. */
const MOST_SAMPLES = 50
const MOST_CHARACTERS = 20_000

export interface RowSample {
  readonly file: string
  readonly line: number
  /** Undefined: it stays. */
  readonly reason?: Reason
  readonly detail: string
  /** As it was read, or its turns. */
  readonly content: unknown
}

/** Reservoirs (Vitter 1985): each row of an outcome is as likely to be there as any other. */
export class RowSamples {
  readonly #random: () => number
  readonly #taken = new Map<Reason | undefined, { seen: number; samples: RowSample[] }>()

  constructor(seed: number) {
    this.#random = randomFrom(seed)
  }

  offer(sample: RowSample): void {
    const taken = this.#taken.get(sample.reason) ?? { seen: 0, samples: [] }
    this.#taken.set(sample.reason, taken)
    taken.seen++
    if (taken.samples.length < MOST_SAMPLES) taken.samples.push(sample)
    else {
      const at = Math.floor(this.#random() * taken.seen)
      if (at < MOST_SAMPLES) taken.samples[at] = sample
    }
  }

  /** What was dropped first, in the order of the checks. */
  views(): SampleView[] {
    const order = [...(Object.keys(REASONS) as Reason[]), undefined]
    return order.flatMap((reason) => (this.#taken.get(reason)?.samples ?? []).map(toView))
  }
}

function toView({ file, line, reason, detail, content }: RowSample): SampleView {
  const text = (label: string, said: string) => ({ kind: 'text', label, text: short(said) }) as const
  const turns = isTurns(content)
    ? content.map((turn) => text(turn.role === 'user' ? 'User' : 'Model', turn.content))
    : [text('Row', typeof content === 'string' ? content : JSON.stringify(content, toPlain, 2))]
  return {
    id: `${file}, line ${line}`,
    task: file,
    outcome: reason === undefined ? 'kept' : REASONS[reason],
    tone: reason === undefined ? 'good' : 'bad',
    scores: {},
    sections: [...(detail === '' ? [] : [text('Why', detail)]), ...turns],
  }
}

function isTurns(content: unknown): content is readonly Turn[] {
  return (
    Array.isArray(content) &&
    content.length > 0 &&
    content.every(
      (turn: Partial<Turn> | null) =>
        (turn?.role === 'user' || turn?.role === 'model') && typeof turn.content === 'string',
    )
  )
}

function short(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text
  return `${text.slice(0, MOST_CHARACTERS).toWellFormed()}\n… ${text.length - MOST_CHARACTERS} more characters`
}

/** For JSON: Parquet has whole numbers that it lacks. */
export function toPlain(_name: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
}
