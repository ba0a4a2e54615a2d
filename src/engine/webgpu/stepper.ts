/**
 * Steps of a graph on the GPU: slices in, tokens or logits out. When every slice has a choice that does not depend
 * on what is chosen, the step that most likely follows is submitted before anybody has seen this one's tokens: the
 * GPU takes them from where it wrote them. Should another step come instead, what was computed ahead is forgotten;
 * it has written only to positions that its sequences had not filled.
 */
import { checkedBatch } from '../batch.ts'
import type { Choice, Chosen } from '../choice.ts'
import type { Outcome, SampledSlice } from '../graph.ts'
import { PAGE } from '../page-pool.ts'
import { PagedKvCache } from '../paged-cache.ts'
import { turn } from '../turn.ts'
import { ChoiceWriter, readResult } from './choices.ts'
import { CHOSEN_BEFORE, FEW, LOGIT_ROWS, writeJob } from './job.ts'
import { type PagedSlice, type Part, type Pass, passesOf } from './passes.ts'
import { Runner, type RunnerParts, type Submitted, type Work } from './runner.ts'

/** A row of logits that a pass computes. */
interface Row {
  readonly slice: number
  /** Among the slice's logits. */
  readonly row: number
  /** Made by the GPU; undefined: the logits are wanted. */
  readonly choice: Choice | undefined
}

/** One token of a sequence, before it is known. */
interface Expected {
  readonly cache: PagedKvCache
  readonly choice: Choice
  /** Of the cache, without it. */
  readonly length: number
  id: number | undefined
}

/** A step that was submitted before its tokens were known. */
interface Ahead {
  readonly expected: readonly Expected[]
  readonly submitted: Submitted
}

export class Stepper {
  readonly runner: Runner
  readonly #parts: RunnerParts
  readonly #job: Uint32Array<ArrayBuffer>
  readonly #choices: ChoiceWriter
  #ahead: Ahead | undefined

  constructor(parts: RunnerParts) {
    this.#parts = parts
    this.runner = new Runner(parts)
    this.#job = new Uint32Array(parts.plan.working.job / 4)
    this.#choices = new ChoiceWriter(parts.plan.choices)
  }

  /** @throws FacetError internal (called wrongly), unavailable (the device was lost) */
  async step(batch: readonly SampledSlice[]): Promise<Outcome[]> {
    const { gpu, config } = this.#parts
    const slices = checkedBatch(batch, config, PagedKvCache, 0)
    const outcomes: Outcome[] = slices.map(({ logits, choice }) =>
      choice ? new Float32Array() : new Float32Array(logits * config.vocabSize),
    )
    const ahead = this.#ahead
    this.#ahead = undefined
    try {
      if (ahead && isExpected(ahead, slices)) await this.#follow(ahead, slices, outcomes)
      else {
        const passes = passesOf(slices)
        for (const pass of passes) await this.#pass(pass, outcomes, passes.length === 1)
      }
    } catch (cause) {
      // A lost device refuses everything, and says why a moment later.
      await Promise.race([gpu.device.lost, turn()])
      throw gpu.toError(cause)
    }
    return outcomes
  }

  /** Splits of attention so that the longest of these sequences is covered. */
  splitsOf(parts: readonly Pick<Part, 'cache' | 'tokens'>[]): number {
    const longest = Math.max(...parts.map(({ cache, tokens }) => cache.length + tokens.length))
    return Math.ceil(longest / this.#parts.plan.split)
  }

  /** The step was computed ahead: only its tokens are wanting. */
  async #follow(ahead: Ahead, slices: readonly PagedSlice[], outcomes: Outcome[]): Promise<void> {
    for (const { cache, tokens } of slices) cache.advance(tokens)
    const rows = ahead.expected.map(({ choice }, slice): Row => ({ slice, row: 0, choice }))
    const next = this.#lookAhead(ahead.expected)
    await this.#collect(ahead.submitted, rows, outcomes)
    this.#expect(next, outcomes)
  }

  /** @param alone whether this pass is the whole step */
  async #pass({ few, parts }: Pass, outcomes: Outcome[], alone: boolean): Promise<void> {
    for (const { cache, tokens } of parts) cache.extend(tokens.length)
    const tokens = parts.reduce((sum, part) => sum + part.tokens.length, 0)
    const splits = few ? this.splitsOf(parts) : 1
    const wanted = parts.flatMap(({ logits, slice, row, choice }) =>
      Array.from({ length: logits }, (_, i): Row => ({ slice, row: row + i, choice })),
    )
    const last = parts.map(({ cache }) => ({ cache, length: cache.length }))
    for (let done = 0; done === 0 || done < wanted.length; done += LOGIT_ROWS) {
      const rows = this.#writeChoices(wanted.slice(done, done + LOGIT_ROWS))
      const layers = done > 0 ? 'none' : few ? 'few' : 'many'
      this.writeJob(
        parts.map((part, i) => ({ ...part, position: last[i]!.length })),
        splits,
        done,
      )
      const work: Work = { layers, tokens, splits, ...rows.wants, rows: rows.rows.length }
      if (!this.runner.isReady(work)) await this.runner.makeReady(work)
      const submitted = this.runner.submit(work)
      if (done === 0) for (const { cache, tokens } of parts) cache.advance(tokens)
      if (work.rows === 0) continue
      const next =
        alone && wanted.length <= LOGIT_ROWS ? this.#lookAhead(expectedOf(parts, rows.rows)) : undefined
      if (few && done === 0 && !next) this.runner.prepare(work)
      await this.#collect(submitted, rows.rows, outcomes)
      this.#expect(next, outcomes)
    }
  }

  /** Rows whose choices the kernels cannot make are left to whoever asked for them. */
  #writeChoices(wanted: readonly Row[]): { rows: Row[]; wants: Pick<Work, 'choices' | 'fetched'> } {
    const { gpu, memory } = this.#parts
    const writer = this.#choices
    writer.clear()
    let choices = 0
    const rows = wanted.map((row, i): Row => {
      if (!row.choice || !writer.fits(row.choice)) return { ...row, choice: undefined }
      choices |= writer.write(i, row.choice)
      return row
    })
    if (choices !== 0) {
      gpu.device.queue.writeBuffer(memory.working.choices, 0, writer.words, 0, writer.used)
    }
    const fetched = rows.flatMap(({ choice }, i) => (choice ? [] : [i]))
    return { rows, wants: { choices, fetched } }
  }

  async #collect(submitted: Submitted, rows: readonly Row[], outcomes: Outcome[]): Promise<void> {
    const { vocabSize } = this.#parts.config
    const { choices, fetched } = submitted.work
    const [results, logits] = await Promise.all([
      choices === 0 ? undefined : this.runner.results(submitted),
      fetched.length === 0 ? undefined : this.runner.logits(submitted),
    ])
    for (const [i, { slice, choice }] of rows.entries()) {
      if (choice) outcomes[slice] = readResult(results!, i, choice)
    }
    for (const [i, at] of fetched.entries()) {
      const { slice, row } = rows[at]!
      const values = logits!.subarray(i * vocabSize, (i + 1) * vocabSize)
      const out = outcomes[slice] as Float32Array
      if (out.length === 0) outcomes[slice] = values.slice()
      else out.set(values, row * vocabSize)
    }
  }

  /** Submits the next token of each of these sequences, whatever it is, where that is possible. */
  #lookAhead(before: readonly Pick<Expected, 'cache' | 'choice'>[] | undefined): Ahead | undefined {
    if (!before || before.length > FEW) return undefined
    const expected: Expected[] = []
    for (const { cache, choice } of before) {
      const next = choice.following?.()
      if (!next || cache.length + 1 > cache.capacity) return undefined
      expected.push({ cache, choice: next, length: cache.length, id: undefined })
    }
    const parts = expected.map(({ cache, length }, i) => {
      cache.extend(1)
      return { cache, tokens: [CHOSEN_BEFORE + i], logits: 1, position: length }
    })
    const rows = this.#writeChoices(expected.map(({ choice }, slice) => ({ slice, row: 0, choice })))
    const splits = this.splitsOf(parts)
    this.writeJob(parts, splits)
    const { length } = expected
    const work: Work = { layers: 'few', tokens: length, rows: length, splits, ...rows.wants }
    return this.runner.isReady(work) ? { expected, submitted: this.runner.submit(work) } : undefined
  }

  /** The tokens that were submitted ahead are known now. */
  #expect(ahead: Ahead | undefined, outcomes: readonly Outcome[]): void {
    for (const [i, expected] of ahead?.expected.entries() ?? []) expected.id = (outcomes[i] as Chosen).id
    this.#ahead = ahead
  }

  /** @param done rows of logits that have been computed */
  writeJob(
    parts: readonly (Pick<Part, 'cache' | 'tokens' | 'logits'> & { readonly position: number })[],
    splits: number,
    done: number = 0,
  ): void {
    const slices = parts.map(({ cache, tokens, logits, position }) => ({
      tokens,
      position,
      table: cache.table.subarray(0, Math.ceil((position + tokens.length) / PAGE)),
      logits,
    }))
    const words = writeJob(this.#job, slices, { splits, done })
    this.#parts.gpu.device.queue.writeBuffer(this.#parts.memory.working.job, 0, this.#job, 0, words)
  }
}

/** When every row is a choice that was made here, and the only row of its slice. */
function expectedOf(
  parts: readonly Part[],
  rows: readonly Row[],
): { cache: PagedKvCache; choice: Choice }[] | undefined {
  const all = rows.flatMap(({ slice, choice }, i) => {
    const part = parts.findLast((each) => each.slice === slice)!
    return choice && slice === i ? [{ cache: part.cache, choice }] : []
  })
  const slices = new Set(parts.map(({ slice }) => slice))
  return all.length === rows.length && slices.size === rows.length ? all : undefined
}

function isExpected({ expected }: Ahead, slices: readonly PagedSlice[]): boolean {
  return (
    slices.length === expected.length &&
    slices.every(({ cache, tokens, choice }, i) => {
      const { cache: own, choice: chosen, length, id } = expected[i]!
      return (
        cache === own &&
        choice === chosen &&
        cache.length === length &&
        tokens.length === 1 &&
        tokens[0] === id
      )
    })
  )
}
