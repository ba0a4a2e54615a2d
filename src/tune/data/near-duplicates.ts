/**
 * Finds texts that are nearly the same: MinHash (Broder 1997) of runs of three words, looked up by locality-sensitive
 * hashing in bands (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
 */
import { randomFrom } from '../../random.ts'
import { runHash } from './words.ts'

/** Words of a run. Texts are as similar as the sets of their runs are (Jaccard: common runs among all runs). */
export const RUN_WORDS = 3
/** Two texts of similarity s meet in at least one band with probability 1 - (1 - s^ROWS)^BANDS: 0.998 at 0.8. */
const BANDS = 20
const ROWS = 6
const HASHES: number = BANDS * ROWS
/** Of one band's bucket, so many texts are looked at, the latest first: what all texts begin with fills buckets. */
const LONGEST_CHAIN = 256

/** What is known of a text: a hash of 32 bits for each of many orders of all runs, of which it is the least. */
export type Signature = Uint32Array

/** The likeness of two texts, by the share of hashes that they have in common. */
export interface Match {
  /** As it was given to `add`. */
  readonly number: number
  /** 0 to 1; within 0.04 (one standard deviation, at 0.8) of the true one. */
  readonly similarity: number
}

/** Constants of the orders: always the same, so that a run of the same data is the same. */
const [SEEDS, FACTORS] = constants()

function constants(): [Uint32Array, Uint32Array] {
  const random = randomFrom(1997)
  const draw = (): number => Math.floor(random() * 2 ** 32)
  return [Uint32Array.from({ length: HASHES }, draw), Uint32Array.from({ length: HASHES }, () => draw() | 1)]
}

/** @param words as `wordHashes` gives them. A text shorter than a run is one run. */
export function signatureOf(words: Uint32Array): Signature {
  const signature = new Uint32Array(HASHES).fill(0xffffffff)
  const count = Math.min(RUN_WORDS, words.length)
  for (let at = 0; at + count <= words.length && count > 0; at++) {
    const [run] = runHash(words, at, count)
    for (let index = 0; index < HASHES; index++) {
      const product = Math.imul(run ^ SEEDS[index]!, FACTORS[index]!)
      const hash = (product ^ (product >>> 15)) >>> 0
      if (hash < signature[index]!) signature[index] = hash
    }
  }
  return signature
}

/** Texts by their signatures: 200 bytes for each, and 80 for each that was expected. */
export class NearDuplicates {
  /** For each band and bucket the latest text in it, one more than its number; 0: none. */
  readonly #latest: readonly Uint32Array[]
  readonly #pages: Page[] = []
  #count = 0

  /** @param expected how many texts: more make it slower, fewer waste room */
  constructor(expected: number) {
    const buckets = 2 ** Math.ceil(Math.log2(Math.max(1024, expected)))
    this.#latest = Array.from({ length: BANDS }, () => new Uint32Array(buckets))
  }

  /** @returns the number of the text: they are counted from 0 */
  add(signature: Signature): number {
    const number = this.#count++
    if (number % PAGE_TEXTS === 0) {
      this.#pages.push({
        bytes: new Uint8Array(PAGE_TEXTS * HASHES),
        before: new Uint32Array(PAGE_TEXTS * BANDS),
      })
    }
    const { bytes, before } = this.#pages.at(-1)!
    const at = number % PAGE_TEXTS
    bytes.set(signature, at * HASHES) // keeps the lowest byte of each
    for (const [band, latest] of this.#latest.entries()) {
      const bucket = bucketOf(signature, band, latest.length)
      before[at * BANDS + band] = latest[bucket]!
      latest[bucket] = number + 1
    }
    return number
  }

  /** Those at least so similar, the most similar first, of equals the earlier. @param least 0 to 1 */
  find(signature: Signature, least: number): Match[] {
    const seen = new Set<number>()
    const matches: Match[] = []
    for (const [band, latest] of this.#latest.entries()) {
      let next = latest[bucketOf(signature, band, latest.length)]!
      for (let steps = 0; next !== 0 && steps < LONGEST_CHAIN; steps++) {
        const number = next - 1
        const page = this.#pages[Math.floor(number / PAGE_TEXTS)]!
        const at = number % PAGE_TEXTS
        next = page.before[at * BANDS + band]!
        if (seen.has(number)) continue
        seen.add(number)
        const similarity = similarityTo(signature, page.bytes, at * HASHES)
        if (similarity >= least) matches.push({ number, similarity })
      }
    }
    return matches.sort((a, b) => b.similarity - a.similarity || a.number - b.number)
  }
}

/** Texts of one page: memory grows by pages, without copies. */
const PAGE_TEXTS = 4096

interface Page {
  /** One byte of each hash: enough to compare two texts that have met (b-bit minwise hashing, Li and König 2010). */
  readonly bytes: Uint8Array
  /** The text before in the same bucket of each band, one more than its number; 0: none. */
  readonly before: Uint32Array
}

function similarityTo(signature: Signature, bytes: Uint8Array, from: number): number {
  let same = 0
  for (let index = 0; index < HASHES; index++) {
    if (bytes[from + index] === (signature[index]! & 0xff)) same++
  }
  // Of two bytes that have nothing to do with each other, one pair in 256 is the same.
  return Math.max(0, (same / HASHES - 1 / 256) / (1 - 1 / 256))
}

/** @param buckets a power of two */
function bucketOf(signature: Signature, band: number, buckets: number): number {
  const [hash] = runHash(signature.subarray(band * ROWS, (band + 1) * ROWS), 0, ROWS)
  return hash & (buckets - 1)
}
