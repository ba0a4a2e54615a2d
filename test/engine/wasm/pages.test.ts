import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PAGE, PagePool } from '../../../src/engine/page-pool.ts'
import { PagedKvCache } from '../../../src/engine/paged-cache.ts'

/** Pages that hold, where keys and values would be, the tokens that these depend on: all up to the position. */
class Pages {
  readonly pool: PagePool
  readonly #slots: string[][]
  tables = 0

  constructor(count: number) {
    this.pool = new PagePool(count)
    this.#slots = Array.from({ length: count }, () => [])
  }

  /** @throws what the pool throws when it has no room */
  open(capacity: number): Sequence {
    this.pool.reserve(Math.ceil(capacity / PAGE))
    this.tables++
    const table = new Uint32Array(64)
    const memory = {
      table,
      copyPage: (from: number, to: number) => {
        this.#slots[to] = [...this.#slots[from]!]
      },
      release: () => void this.tables--,
    }
    return { cache: new PagedKvCache(this.pool, memory, capacity), table, tokens: [] }
  }

  /** What a step does; one that fails has taken pages and written to them, and does not advance. */
  step({ cache, table, tokens }: Sequence, more: readonly number[], fails: boolean): void {
    cache.extend(more.length)
    const all = [...tokens, ...more]
    for (let at = tokens.length; at < all.length; at++) {
      this.#slots[table[Math.floor(at / PAGE)]!]![at % PAGE] = all.slice(0, at + 1).join()
    }
    if (fails) return
    cache.advance(more)
    tokens.push(...more)
  }

  read({ table, tokens }: Sequence): string[] {
    return tokens.map((_, at) => this.#slots[table[Math.floor(at / PAGE)]!]![at % PAGE]!)
  }

  /** Pages that sequences hold. */
  held(sequences: readonly Sequence[]): Set<number> {
    return new Set(
      sequences.flatMap(({ table, tokens }) => [...table.subarray(0, Math.ceil(tokens.length / PAGE))]),
    )
  }
}

interface Sequence {
  readonly cache: PagedKvCache
  readonly table: Uint32Array
  /** The naive model: every token, nothing shared. */
  readonly tokens: number[]
}

/** So few that pages of open sequences and remembered ones always compete. */
const POOL = 5
/** Few different tokens, so that prefixes agree by chance. */
const tokens = fc
  .array(fc.tuple(fc.nat(3), fc.constantFrom(1, 7, PAGE, 40, 2 * PAGE)), { minLength: 1, maxLength: 3 })
  .map((runs) => runs.flatMap(([token, length]) => Array<number>(length).fill(token)))
const which = fc.nat(20)
const action = fc.oneof(
  fc.record({ do: fc.constant('open' as const), capacity: fc.integer({ min: 1, max: 100 }), prompt: tokens }),
  fc.record({
    do: fc.constant('step' as const),
    which,
    more: tokens,
    fails: fc.constantFrom(false, false, true),
  }),
  fc.record({ do: fc.constant('truncate' as const), which, length: fc.nat(160) }),
  fc.record({ do: fc.constant('dispose' as const), which }),
)

describe('pages of the KV cache', () => {
  it('hold what every sequence wrote, as if nothing were shared, copied or forgotten', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
        const pages = new Pages(POOL)
        let open: Sequence[] = []
        let reserved = 0
        const reservedBy = ({ cache }: Sequence): number => Math.ceil(cache.capacity / PAGE)
        for (const act of actions) {
          if (act.do === 'open') {
            const wanted = Math.ceil(act.capacity / PAGE)
            if (reserved + wanted > POOL) {
              expect(() => pages.open(act.capacity)).toThrow(`The KV cache holds ${POOL * PAGE} tokens`)
              continue
            }
            const sequence = pages.open(act.capacity)
            reserved += wanted
            const prompt = act.prompt.slice(0, act.capacity)
            const known = sequence.cache.reuse(prompt)
            sequence.tokens.push(...prompt.slice(0, known))
            open.push(sequence)
          } else if (open.length > 0) {
            const sequence = open[act.which % open.length]!
            const { cache } = sequence
            if (act.do === 'step') {
              const more = act.more.slice(0, cache.capacity - cache.length)
              if (more.length > 0) pages.step(sequence, more, act.fails)
              // Whoever has a failed step goes on from where it was, or gives up; both cut.
              if (act.fails) cache.truncate(sequence.tokens.length)
            } else if (act.do === 'truncate') {
              const length = Math.min(act.length, cache.length)
              cache.truncate(length)
              sequence.tokens.length = length
            } else {
              cache.dispose()
              reserved -= reservedBy(sequence)
              open = open.filter((other) => other !== sequence)
            }
          }
          for (const sequence of open) {
            expect(sequence.cache.length).toBe(sequence.tokens.length)
            const expected = sequence.tokens.map((_, at) => sequence.tokens.slice(0, at + 1).join())
            expect(pages.read(sequence)).toEqual(expected)
          }
          expect(pages.pool.idlePages).toBe(POOL - pages.held(open).size)
        }
        for (const { cache } of open) cache.dispose()
        expect([pages.pool.idlePages, pages.tables]).toEqual([POOL, 0])
      }),
      { numRuns: 500 },
    )
  })

  it('are shared by sequences that start the same', () => {
    const pages = new Pages(8)
    const prompt = Array<number>(3 * PAGE).fill(5)
    const first = pages.open(prompt.length)
    pages.step(first, prompt, false)
    const second = pages.open(prompt.length)
    expect(second.cache.reuse(prompt.slice(0, -1))).toBe(2 * PAGE)
    expect(second.table.subarray(0, 2)).toEqual(first.table.subarray(0, 2))
    expect(pages.pool.idlePages).toBe(8 - 3)
  })

  it('are forgotten by last use when their place is needed', () => {
    const pages = new Pages(3)
    const prompt = (token: number): number[] => Array<number>(PAGE).fill(token)
    const use = (token: number): number => {
      const sequence = pages.open(PAGE)
      const known = sequence.cache.reuse(prompt(token))
      if (known === 0) pages.step(sequence, prompt(token), false)
      sequence.cache.dispose()
      return known
    }
    for (const token of [1, 2, 3]) expect(use(token)).toBe(0)
    expect(use(1)).toBe(PAGE)
    expect(use(4)).toBe(0) // in the place of 2, which was used longest ago
    expect([use(1), use(3), use(4)]).toEqual([PAGE, PAGE, PAGE])
    expect(use(2)).toBe(0)
  })
})
