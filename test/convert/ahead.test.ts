import { expect, test } from 'vitest'
import { readAhead } from '../../src/convert/ahead.ts'

/** Reads that end when they are told to. */
class Reads {
  readonly begun: number[] = []
  readonly ended: number[] = []
  readonly #waiting = new Map<number, PromiseWithResolvers<string>>()

  readonly read = async (item: number): Promise<string> => {
    this.begun.push(item)
    const waiting = Promise.withResolvers<string>()
    this.#waiting.set(item, waiting)
    try {
      return await waiting.promise
    } finally {
      this.ended.push(item)
    }
  }

  end(item: number): void {
    this.#waiting.get(item)!.resolve(`result ${item}`)
  }

  fail(item: number): void {
    this.#waiting.get(item)!.reject(new Error(`no ${item}`))
  }
}

test('gives every item with its result, in order', async () => {
  const results: string[] = []
  for await (const [item, result] of readAhead([3, 1, 2], async (item) => `result ${item}`)) {
    results.push(`${item}: ${result}`)
  }
  expect(results).toEqual(['3: result 3', '1: result 1', '2: result 2'])
})

test('reads nothing where there is nothing', async () => {
  const reads = new Reads()
  expect(await readAhead([], reads.read).next()).toEqual({ done: true, value: undefined })
  expect(reads.begun).toEqual([])
})

test('the next one is read while the caller works, and only that one', async () => {
  const reads = new Reads()
  const all = readAhead([1, 2, 3], reads.read)
  const first = all.next()
  reads.end(1)
  expect((await first).value).toEqual([1, 'result 1'])
  expect(reads.begun).toEqual([1, 2])
  reads.end(2)
  await Promise.resolve()
  expect(reads.begun).toEqual([1, 2])
  expect((await all.next()).value).toEqual([2, 'result 2'])
  expect(reads.begun).toEqual([1, 2, 3])
  reads.end(3)
  expect((await all.next()).value).toEqual([3, 'result 3'])
  expect((await all.next()).done).toBe(true)
})

test('a read that fails is told when it is its turn, and nothing is read after it', async () => {
  const reads = new Reads()
  const all = readAhead([1, 2, 3], reads.read)
  const first = all.next()
  reads.end(1)
  await first
  reads.fail(2)
  await new Promise(setImmediate) // an error that nobody waits for would be reported here
  await expect(all.next()).rejects.toThrow('no 2')
  expect(reads.begun).toEqual([1, 2])
})

test.for(['succeeds', 'fails'])(
  'a caller that stops early goes on when the read under way ends, which %s',
  async (how) => {
    const reads = new Reads()
    let stopped = false
    const caller = (async () => {
      for await (const [item] of readAhead([1, 2, 3], reads.read)) {
        if (item === 1) throw new Error('enough')
      }
    })().catch((error: Error) => {
      stopped = true
      return error.message
    })
    reads.end(1)
    await new Promise(setImmediate)
    expect(reads.begun).toEqual([1, 2])
    expect(stopped).toBe(false)
    if (how === 'fails') reads.fail(2)
    else reads.end(2)
    expect(await caller).toBe('enough')
    expect(reads.ended).toEqual([1, 2])
    expect(reads.begun).toEqual([1, 2])
  },
)
