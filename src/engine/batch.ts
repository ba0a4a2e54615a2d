/** What graphs do with the slices of a step before they compute: check them all, and cut them into passes. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import type { KvCache, Slice } from './graph.ts'

/** A slice whose cache is known to be the graph's own and to have room. */
export interface CheckedSlice<Cache extends KvCache> extends Slice {
  readonly cache: Cache
  /** Of how many of the last positions logits are wanted. */
  readonly logits: number
}

/**
 * Checks a whole batch before anything is computed, so that a refused step leaves no cache half advanced.
 *
 * @param kind the class of the graph's caches
 * @param fewest rows of logits that may be asked for
 * @throws FacetError internal: these are mistakes of the caller's code, not of a request
 */
export function checkedBatch<Source extends Slice, Cache extends KvCache & { readonly disposed: boolean }>(
  batch: readonly Source[],
  config: GemmaConfig,
  kind: abstract new (...args: never[]) => Cache,
  fewest: 0 | 1 = 1,
): (Source & CheckedSlice<Cache>)[] {
  const seen = new Set<KvCache>()
  return batch.map((slice) => {
    const { cache, tokens, logits = 1 } = slice
    if (!(cache instanceof kind)) throw misuse('a cache belongs to another graph')
    if (cache.disposed) throw misuse('a cache is used after dispose()')
    if (seen.has(cache)) throw misuse('a cache stands twice in one batch')
    seen.add(cache)
    if (tokens.length === 0) throw misuse('a slice has no tokens')
    if (!Number.isInteger(logits) || logits < fewest || logits > tokens.length) {
      throw misuse(`logits of ${logits} positions are wanted of ${tokens.length} tokens`)
    }
    if (cache.length + tokens.length > cache.capacity) {
      throw misuse(
        `${tokens.length} tokens do not fit a cache that holds ${cache.length} of ${cache.capacity}`,
      )
    }
    const stranger = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize)
    if (stranger !== undefined) throw misuse(`token id ${stranger} is not in the vocabulary`)
    return { ...slice, cache, logits }
  })
}

/** Tokens of one slice that go into one pass. */
export interface Part<Source extends CheckedSlice<KvCache>> {
  readonly source: Source
  readonly cache: Source['cache']
  readonly tokens: readonly number[]
  /** Of how many of the last positions logits are wanted. */
  readonly logits: number
  /** Rows of the slice's logits before these. */
  readonly row: number
  /** The slice ends with these tokens. */
  readonly last: boolean
}

/** Cuts slices into passes of at most `most` tokens, keeping their order. */
export function cutIntoPasses<Source extends CheckedSlice<KvCache>>(
  sources: readonly Source[],
  most: number,
): Part<Source>[][] {
  const passes: Part<Source>[][] = []
  let room = 0
  for (const source of sources) {
    const { cache, tokens, logits } = source
    // Logits are wanted of the tokens after these.
    const skipped = tokens.length - logits
    for (let at = 0; at < tokens.length; ) {
      if (room === 0) {
        passes.push([])
        room = most
      }
      const piece = tokens.slice(at, at + room)
      const end = at + piece.length
      const wanted = Math.max(0, end - Math.max(at, skipped))
      passes.at(-1)!.push({
        source,
        cache,
        tokens: piece,
        logits: wanted,
        row: Math.max(0, at - skipped),
        last: end === tokens.length,
      })
      room -= piece.length
      at = end
    }
  }
  return passes
}

export function misuse(problem: string): FacetError {
  return new FacetError('internal', `The model was called wrongly: ${problem}; please report this.`)
}
