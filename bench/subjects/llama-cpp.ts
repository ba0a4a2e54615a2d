/** Native llama.cpp on the same shape in Q4_0, through node-llama-cpp's prebuilt library, without a GPU. */
import { anyTokens, argument, serveSubject, timed } from '../subject.ts'

/** What is used of node-llama-cpp, which only bench/ installs. */
interface Sequence {
  clearHistory(): Promise<void>
  eraseContextTokenRanges(ranges: readonly { start: number; end: number }[]): Promise<void>
  readonly nextTokenIndex: number
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>
  evaluate(tokens: readonly number[], options: object): AsyncGenerator<number>
}
interface Model {
  createContext(options: object): Promise<{ getSequence(): Sequence }>
}
interface Llama {
  loadModel(options: object): Promise<Model>
}

const VOCAB = 8000
const GREEDY = { temperature: 0, yieldEogToken: true }
let sequence: Sequence

serveSubject({
  load: async (threads) => [
    await timed(async () => {
      const { getLlama } = (await import('node-llama-cpp' as string)) as {
        getLlama(options: object): Promise<Llama>
      }
      const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads })
      const model = await llama.loadModel({ modelPath: argument(0) })
      const context = await model.createContext({ contextSize: 1024, threads, batchSize: 512 })
      sequence = context.getSequence()
    }),
  ],
  decode: async (context, steps) => {
    if (sequence.nextTokenIndex < context!) {
      await sequence.clearHistory()
      await sequence.evaluateWithoutGeneratingNewTokens(anyTokens(context!, VOCAB, 1))
    }
    const samples: number[] = []
    let last = performance.now()
    for await (const _ of sequence.evaluate([300], GREEDY)) {
      const now = performance.now()
      samples.push(now - last)
      last = now
      if (samples.length === steps) break
    }
    await sequence.eraseContextTokenRanges([{ start: context!, end: sequence.nextTokenIndex }])
    return samples
  },
  /** To the first token that follows. */
  prefill: async (count) => {
    await sequence.clearHistory()
    const tokens = anyTokens(count!, VOCAB, 2)
    const took = await timed(async () => {
      for await (const _ of sequence.evaluate(tokens, GREEDY)) break
    })
    await sequence.clearHistory()
    return [took]
  },
})
