/** Slices of a step cut into passes, after everything about them is checked. */
import { FacetError } from '../../errors.ts'
import type { GemmaConfig } from '../../gemma/config.ts'
import type { Choice } from '../choice.ts'
import type { KvCache, SampledSlice } from '../graph.ts'
import { PagedKvCache } from '../paged-cache.ts'
import { FEW, MANY } from './job.ts'

/** Tokens of one slice that go into one pass. */
export interface Part {
  readonly cache: PagedKvCache
  readonly tokens: readonly number[]
  /** Of how many of the last positions logits are wanted. */
  readonly logits: number
  /** Which slice this is of. */
  readonly slice: number
  /** Rows of the slice's logits before these. */
  readonly row: number
  /** Of the slice, in the part that has its last token. */
  readonly choice: Choice | undefined
}

export interface Pass {
  /** One token of each sequence; otherwise pieces of prompts. */
  readonly few: boolean
  readonly parts: readonly Part[]
}

export interface PagedSlice extends SampledSlice {
  readonly cache: PagedKvCache
}

/**
 * Single tokens and longer slices go into passes of their own, so that a token's arithmetic does not depend on
 * what else is in the step.
 */
export function passesOf(slices: readonly PagedSlice[]): Pass[] {
  const all = slices.map((slice, index) => ({ slice, index }))
  const single = all.filter(({ slice }) => slice.tokens.length === 1)
  const longer = all.filter(({ slice }) => slice.tokens.length > 1)
  return [
    ...cut(single, FEW).map((parts): Pass => ({ few: true, parts })),
    ...cut(longer, MANY).map((parts): Pass => ({ few: false, parts })),
  ]
}

function cut(all: readonly { slice: PagedSlice; index: number }[], most: number): Part[][] {
  const passes: Part[][] = []
  let room = 0
  for (const { slice, index } of all) {
    const { cache, tokens, logits = 1, choice } = slice
    for (let at = 0; at < tokens.length; ) {
      if (room === 0) {
        passes.push([])
        room = most
      }
      const piece = tokens.slice(at, at + room)
      const end = at + piece.length
      const skipped = tokens.length - logits
      const wanted = Math.max(0, end - Math.max(at, skipped))
      passes.at(-1)!.push({
        cache,
        tokens: piece,
        logits: wanted,
        slice: index,
        row: Math.max(0, at - skipped),
        choice: end === tokens.length ? choice : undefined,
      })
      room -= piece.length
      at = end
    }
  }
  return passes
}

/** Everything is checked before anything is computed, so that a refused step changes nothing. */
export function checked(batch: readonly SampledSlice[], config: GemmaConfig): PagedSlice[] {
  const seen = new Set<KvCache>()
  return batch.map((slice) => {
    const { cache, tokens, logits = 1 } = slice
    if (!(cache instanceof PagedKvCache) || cache.disposed) {
      throw misuse('a cache is not of this graph, or disposed of')
    }
    if (seen.has(cache)) throw misuse('a cache stands twice in one batch')
    seen.add(cache)
    if (tokens.length === 0 || logits < 0 || logits > tokens.length) {
      throw misuse(`${logits} rows of logits are wanted of ${tokens.length} tokens`)
    }
    if (cache.length + tokens.length > cache.capacity) {
      throw misuse(
        `${tokens.length} tokens do not fit a cache that holds ${cache.length} of ${cache.capacity}`,
      )
    }
    if (tokens.some((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize)) {
      throw misuse('a token id is not in the vocabulary')
    }
    return { ...slice, cache }
  })
}

export function misuse(problem: string): FacetError {
  return new FacetError('internal', `The model was called wrongly: ${problem}; please report this.`)
}
