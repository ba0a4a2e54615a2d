/** The child's side of a measured process: answers calls from its parent with what it measured. */

/** A list of numbers; numbers by name; a fact. */
export type Answer = readonly number[] | Readonly<Record<string, number>> | string

/** Every argument is a number. */
export type Methods = Readonly<Record<string, (...args: readonly number[]) => Promise<Answer>>>

export interface Call {
  readonly id: number
  readonly method: string
  readonly args: readonly number[]
}

export type Reply =
  | { readonly id: number; readonly answer: Answer }
  | { readonly id: number; readonly failed: string }

/** Obeys the parent until it disconnects, then ends the process. */
export function serveSubject(methods: Methods, end: () => Promise<void> = async () => {}): void {
  process.on('message', async ({ id, method, args }: Call) => {
    let reply: Reply
    try {
      reply = { id, answer: await methods[method]!(...args) }
    } catch (error) {
      reply = { id, failed: error instanceof Error ? error.message : String(error) }
    }
    if (process.connected) process.send!(reply)
  })
  process.once('disconnect', () => {
    end().finally(() => process.exit())
  })
}

/** The argument of that number on the command line. */
export function argument(index: number): string {
  const value = process.argv[2 + index]
  if (value === undefined) throw new Error(`argument ${index} is missing`)
  return value
}

/** Token ids without order, the same for the same seed, above the control tokens. */
export function anyTokens(count: number, vocabSize: number, seed: number): number[] {
  const step = 7919 + 2 * seed
  return Array.from({ length: count }, (_, i) => 300 + ((seed * 104_729 + i * step) % (vocabSize - 300)))
}

export async function timed(work: () => unknown): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}
