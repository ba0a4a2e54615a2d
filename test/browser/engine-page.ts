/** What the tests of the engine call inside a page or a service worker. */
import { createEngine, type Engine } from '../../src/engine/backend.ts'
import { loadEngine } from '../../src/engine/browser.ts'
import { loadEngine as loadEngineHere } from '../../src/engine/engine.ts'
import { openWithoutData } from '../../src/engine/model-file.ts'
import { filesFromUrl } from '../../src/engine/model-files.ts'
import { createWasmGraph } from '../../src/engine/wasm/graph.ts'
import { type Build, chooseBuild } from '../../src/engine/wasm/kernels.ts'
import type { ChatRequest } from '../../src/types.ts'
import { answerRemoteCalls, type Failure, failureOf } from './remote-calls.ts'

export interface PageAnswer {
  readonly text: string
  /** Ids of the answer's tokens, without the end of the turn. */
  readonly ids: readonly number[]
  /** Events of text. */
  readonly texts: number
  /** Turns of this thread's event loop while the answer was made. */
  readonly turns: number
  /** Timers that fired in the same time, and frames that were drawn. */
  readonly timers: number
  readonly frames: number
}

let engine: Engine | undefined

type LoopCounts = Pick<PageAnswer, 'turns' | 'timers' | 'frames'>

/** Counts what this thread's event loop does until told to stop. */
function watchLoop(): () => LoopCounts {
  const { port1, port2 } = new MessageChannel()
  let running = true
  let turns = 0
  let timers = 0
  let frames = 0
  port1.onmessage = () => {
    turns++
    port2.postMessage(null)
  }
  port2.postMessage(null)
  const timer = setInterval(() => timers++, 1)
  const drawn = (): void => {
    frames++
    if (running) requestAnimationFrame(drawn)
  }
  if (typeof requestAnimationFrame === 'function') requestAnimationFrame(drawn)
  return () => {
    running = false
    clearInterval(timer)
    port1.close()
    return { turns, timers, frames }
  }
}

const api = {
  /** In a worker. Returns the progress that was told. */
  async load(base: string, options: object = {}): Promise<number[]> {
    const told: number[] = []
    const onProgress = ({ loadedBytes, totalBytes }: { loadedBytes: number; totalBytes: number }) =>
      told.push(loadedBytes / totalBytes)
    engine = await loadEngine(base, { ...options, onProgress })
    return told
  },

  /** On this thread. */
  async loadHere(base: string): Promise<void> {
    engine = await loadEngineHere({ files: filesFromUrl(base), slots: 1 })
  },

  /** On this thread, with one build of the kernels. */
  async loadBuild(base: string, build: Build): Promise<void> {
    const model = await openWithoutData(filesFromUrl(base))
    const graph = await createWasmGraph({ model, sequences: 1, contextTokens: 512, build })
    engine = createEngine({
      graph,
      tokenizer: model.tokenizer,
      model: { id: build, contextTokens: 512 },
      slots: 1,
    })
  },

  failureToLoad: (base: string, options: object = {}): Promise<Failure | undefined> =>
    loadEngine(base, options).then((loaded) => loaded.close().then(() => undefined), failureOf),

  async ask(prompt: string, more: Partial<ChatRequest> = {}): Promise<PageAnswer> {
    const stop = watchLoop()
    let text = ''
    let texts = 0
    const ids: number[] = []
    const request = { messages: [{ role: 'user', content: prompt }], temperature: 0, logprobs: 0, ...more }
    for await (const event of engine!.chat(request as ChatRequest)) {
      if (event.type !== 'text') continue
      text += event.text
      texts++
      for (const { id } of event.logprobs ?? []) ids.push(id)
    }
    return { text, ids, texts, ...stop() }
  },

  /** Aborts at the first text. */
  async abort(prompt: string): Promise<Failure | undefined> {
    const controller = new AbortController()
    const request: ChatRequest = { messages: [{ role: 'user', content: prompt }] }
    try {
      for await (const { type } of engine!.chat(request, { signal: controller.signal })) {
        if (type === 'text') controller.abort()
      }
    } catch (error) {
      return failureOf(error)
    }
    return undefined
  },

  failureToAsk: (prompt: string): Promise<Failure | undefined> =>
    api.ask(prompt).then(() => undefined, failureOf),

  /** What this thread's event loop does while the graph makes one step of this many tokens. */
  async stepHere(base: string, tokens: number): Promise<LoopCounts> {
    const model = await openWithoutData(filesFromUrl(base))
    const graph = await createWasmGraph({ model, sequences: 1, contextTokens: 256 })
    const cache = graph.open(256)
    const stop = watchLoop()
    await graph.step([{ cache, tokens: Array.from({ length: tokens }, (_, i) => i + 2) }])
    const counts = stop()
    await graph.dispose()
    return counts
  },

  close: async (): Promise<void> => engine?.close(),

  /** What is here, and what would compute. */
  place: (): { isolated: boolean; worker: boolean; threaded: Build; alone: Build } => ({
    isolated: globalThis.crossOriginIsolated,
    worker: typeof Worker === 'function',
    threaded: chooseBuild(true),
    alone: chooseBuild(false),
  }),
}

export type EnginePage = typeof api

answerRemoteCalls(api)
