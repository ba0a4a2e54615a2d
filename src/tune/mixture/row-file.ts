/** A file of prepared rows that is read row by row in any order: only where each begins is held. */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { FacetError } from '../../errors.ts'
import { drawOf } from '../../eval/draw.ts'
import { randomFrom } from '../../random.ts'
import { checkedTurns } from '../data/conversation.ts'
import { splitLines } from '../data/read/lines.ts'
import { Rejection } from '../data/rejection.ts'
import { toConversation } from '../data/row-formats.ts'

export class RowFile {
  readonly file: string
  readonly #handle: FileHandle
  /** Of each row. */
  readonly #starts: readonly number[]
  readonly #sizes: readonly number[]

  private constructor(file: string, handle: FileHandle, starts: number[], sizes: number[]) {
    this.file = file
    this.#handle = handle
    this.#starts = starts
    this.#sizes = sizes
  }

  /**
   * @param path of JSON lines
   * @throws FacetError invalid_request (no rows), io_failed
   */
  static async open(path: string): Promise<RowFile> {
    const starts: number[] = []
    const sizes: number[] = []
    let start = 0
    try {
      for await (const { sizeBytes } of splitLines(createReadStream(path), 0)) {
        // A line of nothing but its end is no row.
        if (sizeBytes > 1) {
          starts.push(start)
          sizes.push(sizeBytes)
        }
        start += sizeBytes + 1
      }
      if (starts.length === 0) throw unusable(path, 'has no rows; leave it out')
      return new RowFile(path, await open(path), starts, sizes)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (error instanceof FacetError || code === undefined) throw error
      throw new FacetError('io_failed', `${path} cannot be read (${code}); check the name.`, {
        field: 'mixtures',
        cause: error,
      })
    }
  }

  get count(): number {
    return this.#starts.length
  }

  /** Rows in an order drawn by the seed; where there are too few, all of them again. Fewer are the first of more. */
  draw(count: number, seed: number): number[] {
    const order = Array.from({ length: this.count }, (_, row) => row)
    shuffle(order, randomFrom(seed))
    return Array.from({ length: count }, (_, at) => order[at % order.length]!)
  }

  /** @throws FacetError invalid_request: it is no row that facet tune data has made */
  async read(row: number): Promise<string> {
    const { buffer } = await this.#handle.read(
      Buffer.alloc(this.#sizes[row]!),
      0,
      this.#sizes[row]!,
      this.#starts[row]!,
    )
    const line = buffer.toString().trim()
    try {
      checkedTurns(toConversation(JSON.parse(line), 'openai'))
      return line
    } catch (error) {
      const known = error instanceof Rejection || error instanceof SyntaxError
      if (!known) throw error
      const problem = error instanceof Rejection ? error.message : 'it is no JSON'
      const at = `holds a row that cannot be used, at byte ${this.#starts[row]!}: ${problem}`
      throw unusable(this.file, `${at}; prepare it with facet tune data`, error)
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** A seed of its own for each name: what is drawn for one does not depend on the others. */
export function seedOf(seed: number, name: string): number {
  return Math.floor(drawOf(seed, name) * 2 ** 48)
}

/** In place (Fisher and Yates). */
export function shuffle<Item>(items: Item[], random: () => number): void {
  for (let last = items.length - 1; last > 0; last--) {
    const at = Math.floor(random() * (last + 1))
    const item = items[last]!
    items[last] = items[at]!
    items[at] = item
  }
}

function unusable(path: string, problem: string, cause?: unknown): FacetError {
  return new FacetError('invalid_request', `${path} ${problem}.`, { field: 'mixtures', cause })
}
