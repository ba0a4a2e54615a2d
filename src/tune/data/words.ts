/** The words of a text, and numbers that stand for them: what texts are compared by. */

/** Scripts that write no spaces: each character counts as a word. */
const UNSPACED =
  /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]/v
const WORD = new RegExp(`${UNSPACED.source}|[[\\p{L}\\p{M}\\p{N}]--${UNSPACED.source}]+`, 'gv')

/**
 * In lower case and one form of each character; punctuation and spaces are left out. Of a text that is nothing else,
 * such as emoji, what stands between spaces: it is not the same as all others without words.
 */
export function wordsOf(text: string): string[] {
  const plain = text.normalize('NFKC').toLowerCase()
  return plain.match(WORD) ?? plain.match(/\S+/g) ?? []
}

/** 32 bits of each word (FNV-1a, then mixed). */
export function wordHashes(text: string): Uint32Array {
  const words = wordsOf(text)
  const hashes = new Uint32Array(words.length)
  for (const [at, word] of words.entries()) {
    let hash = 0x811c9dc5
    for (let index = 0; index < word.length; index++) {
      hash = Math.imul(hash ^ word.charCodeAt(index), 0x01000193)
    }
    hashes[at] = mixed(hash)
  }
  return hashes
}

/** 64 bits of `count` words from `at` on, as two halves. */
export function runHash(hashes: Uint32Array, at: number, count: number): readonly [number, number] {
  let high = 0x9e3779b9 ^ count
  let low = 0x85ebca6b
  for (let index = at; index < at + count; index++) {
    const word = hashes[index]!
    high = Math.imul(high ^ word, 0xcc9e2d51)
    high = (high << 13) | (high >>> 19)
    low = Math.imul(low + word, 0x1b873593)
    low ^= low >>> 15
  }
  return [mixed(high), mixed(low)]
}

/** Every bit of a number depends on every other. */
export function mixed(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d)
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b)
  return (hash ^ (hash >>> 16)) >>> 0
}
