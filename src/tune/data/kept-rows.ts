/** The rows that stay, by their hashes: what tells whether one more is new, and which of them belong together. */
import { createHash } from 'node:crypto'
import type { Turn } from '../../gemma/chat-template.ts'
import { Groups } from './groups.ts'
import { HashTable } from './hash-table.ts'
import { NearDuplicates } from './near-duplicates.ts'
import { Rejection } from './rejection.ts'
import type { Sifted } from './sifter.ts'

/** Rows that are so much alike are never parted, although both may stay. */
export const TOGETHER = 0.7

export interface KeptRowsOptions {
  /** Rows at least so similar are duplicates. Undefined: none are, however similar. */
  readonly nearDuplicates: number | undefined
  /** Whether one of two rows that are the same is left out. */
  readonly duplicates: boolean
  /** How many rows there may be. */
  readonly expected: number
}

export class KeptRows {
  readonly groups: Groups = new Groups()
  /** Of each row, in order. */
  readonly tokens: number[] = []
  readonly #options: KeptRowsOptions
  readonly #exact = new HashTable()
  readonly #prompts = new HashTable()
  readonly #near: NearDuplicates
  readonly #files: string[] = []
  readonly #lines: number[] = []

  constructor(options: KeptRowsOptions) {
    this.#options = options
    this.#near = new NearDuplicates(options.expected)
  }

  get count(): number {
    return this.tokens.length
  }

  /** @throws Rejection duplicate or near-duplicate */
  check({ turns, signature }: Pick<Sifted, 'turns' | 'signature'>): void {
    const same = this.#options.duplicates ? this.#exact.get(...hashOf(turns)) : undefined
    if (same !== undefined) throw new Rejection('duplicate', `it is the same as ${this.#placeOf(same)}`)
    const least = this.#options.nearDuplicates
    if (least === undefined) return
    const [like] = this.#near.find(signature, least)
    if (!like) return
    const percent = Math.round(100 * like.similarity)
    throw new Rejection('near-duplicate', `${percent}% of it is as in ${this.#placeOf(like.number)}`)
  }

  /** @param file and @param line where the row stands */
  add({ turns, signature, tokens }: Sifted, file: string, line: number): void {
    const number = this.groups.add()
    // Rows that answer the same question, that are the same, and those that are much alike.
    for (const [table, part] of [
      [this.#prompts, turns.slice(0, -1)],
      [this.#exact, turns],
    ] as const) {
      const hash = hashOf(part)
      const first = table.get(...hash)
      if (first === undefined) table.set(...hash, number)
      else this.groups.join(first, number)
    }
    for (const like of this.#near.find(signature, TOGETHER)) this.groups.join(like.number, number)
    this.#near.add(signature)
    this.tokens.push(tokens)
    this.#files.push(file)
    this.#lines.push(line)
  }

  #placeOf(number: number): string {
    return `${this.#files[number]}, line ${this.#lines[number]}`
  }
}

/** 64 bits: of a billion rows, two have the same by chance once in 37 times. */
function hashOf(turns: readonly Turn[]): readonly [number, number] {
  const hash = createHash('sha256')
  for (const { content } of turns) hash.update(`${content.length}:${content}`)
  const bytes = hash.digest()
  return [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
}
