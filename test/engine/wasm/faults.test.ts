import { cp, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createEngine, type Engine, type EngineOptions } from '../../../src/engine/backend.ts'
import { loadEngine } from '../../../src/engine/engine.ts'
import { openWithoutData } from '../../../src/engine/model-file.ts'
import type { ModelFiles } from '../../../src/engine/model-files.ts'
import { filesFromDirectory } from '../../../src/engine/node.ts'
import { createWasmGraph, type WasmGraph, type WasmOptions } from '../../../src/engine/wasm/graph.ts'
import { chooseBuild } from '../../../src/engine/wasm/kernels.ts'
import type { Thread, ThreadStart } from '../../../src/engine/wasm/threads.ts'
import { spawnNodeThread } from '../../../src/engine/wasm/threads-node.ts'
import { FacetError } from '../../../src/errors.ts'
import { DATA_FILE } from '../../../src/gemma/manifest.ts'
import type { ChatRequest } from '../../../src/types.ts'
import { temporary } from '../../convert/checkpoints.ts'
import { collect } from '../collect.ts'
import { letters } from '../fake-graph.ts'
import { MODEL_DIRECTORY } from '../golden.ts'
import { logitsOf, quantizedFixture, wasmGraph } from './models.ts'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

const fixtureModel = quantizedFixture('gemma-mqa')

const engineOn = (graph: WasmGraph, options: Partial<EngineOptions> = {}): Engine =>
  createEngine({ graph, tokenizer: letters, model: { id: 'x' }, ...options })

const ask = (prompt: string, more: object = {}): ChatRequest => ({ prompt, temperature: 0, ...more })

/** Neither eos nor the end of a turn. */
const ENDLESS = { logitBias: { 1: -100, 107: -100 } }

const errorOf = async (work: Promise<unknown>): Promise<FacetError> => {
  const error = await work.catch((thrown: unknown) => thrown)
  if (!(error instanceof FacetError)) throw new Error(`expected a FacetError, got ${error}`)
  return error
}

/** Starts worker threads and keeps count of them. */
function countedThreads() {
  const threads: Thread[] = []
  let live = 0
  const spawn = (start: ThreadStart): Thread => {
    const thread = spawnNodeThread(start)
    threads.push(thread)
    live++
    void thread.exited.then(() => live--)
    return thread
  }
  return { threads, spawn, live: () => live }
}

describe('a thread that dies', () => {
  it('between steps fails every answer, admitted or waiting, and says what to do', async () => {
    const { threads, spawn, live } = countedThreads()
    const graph = await wasmGraph(await fixtureModel, { sequences: 2, threads: 3, spawn })
    const engine = engineOn(graph, { slots: 2 })
    await collect(engine, ask('abc', { maxTokens: 3 }))
    await threads[1]!.end()
    const answers = ['x', 'y', 'z'].map((prompt) => collect(engine, ask(prompt)))
    for (const answer of answers) {
      expect(await errorOf(answer)).toMatchObject({
        code: 'internal',
        retry: 'elsewhere',
        message: 'A thread that computes has died; load the model again.',
      })
    }
    await engine.close()
    expect(live()).toBe(0)
  })

  it('during a step fails every answer when patience ends', async () => {
    const spawn = (start: ThreadStart): Thread => {
      if (start.thread !== 2) return spawnNodeThread(start)
      const worker = new Worker(new URL('./dying-thread.ts', import.meta.url), { workerData: start })
      return {
        ready: new Promise((resolve) => worker.once('message', () => resolve())),
        exited: new Promise((resolve) => worker.once('exit', () => resolve())),
        end: async () => void (await worker.terminate()),
      }
    }
    const graph = await wasmGraph(await fixtureModel, { threads: 3, spawn, patienceMs: 200 })
    const engine = engineOn(graph, { slots: 1 })
    const answers = [collect(engine, ask('abc')), collect(engine, ask('def'))]
    for (const answer of answers)
      expect((await errorOf(answer)).message).toContain('has died; load the model')
    await engine.close()
  })

  it('before it could start is told when loading', async () => {
    const { spawn, live } = countedThreads()
    const dead = (): Thread => ({
      ready: Promise.reject(new Error('no threads left')),
      exited: Promise.resolve(),
      end: async () => {},
    })
    const load = createWasmGraph({
      model: await fixtureModel,
      sequences: 1,
      contextTokens: 32,
      threads: 3,
      spawn: (start) => (start.thread === 2 ? dead() : spawn(start)),
    })
    expect((await errorOf(load)).message).toBe('A thread that computes could not be started: no threads left')
    expect(live()).toBe(0)
  })
})

describe('memory that is not there', () => {
  /** The shipped model, and which of its files were opened. */
  const watched = () => {
    const opened: string[] = []
    const files = filesFromDirectory(MODEL_DIRECTORY)
    const open: ModelFiles['open'] = (path, range) => {
      opened.push(path)
      return files.open(path, range)
    }
    return { opened, files: { ...files, open } }
  }

  it('beyond what WebAssembly can address is refused with figures before the weights are read', async () => {
    const { opened, files } = watched()
    const error = await errorOf(loadEngine({ files, slots: 840 }))
    expect(error).toMatchObject({ code: 'out_of_memory', status: 507 })
    expect(error.message).toMatch(
      /^The model needs [\d.]+ GB \(weights 1[\d.]+ MB, KV cache 4[\d.]+ GB for 1720320 tokens, working space [\d.]+ MB\), and WebAssembly holds 4.29 GB; lower contextTokens or slots, or use a smaller model\.$/,
    )
    expect(opened).toContain('config.json')
    expect(opened).not.toContain(DATA_FILE)
  })

  it('is refused with figures when the machine gives none, before the weights are read', async () => {
    vi.spyOn(WebAssembly, 'Memory').mockImplementation(function refuse() {
      throw new RangeError('could not allocate memory')
    })
    const { opened, files } = watched()
    const error = await errorOf(loadEngine({ files }))
    expect(error.code).toBe('out_of_memory')
    expect(error.message).toMatch(
      /^The model needs [\d.]+ MB \(weights .* which this machine would not give; lower/,
    )
    expect(opened).not.toContain(DATA_FILE)
  })

  it.each([0, -1, 1.5, Number.NaN])('for %d slots is not even planned', async (slots) => {
    const { opened, files } = watched()
    const error = await errorOf(loadEngine({ files, slots }))
    expect(error).toMatchObject({ code: 'invalid_request', field: 'slots' })
    expect(opened).not.toContain(DATA_FILE)
  })

  it('for more tokens than are free is refused for the cache that asks, not for the others', async () => {
    const graph = await wasmGraph(await fixtureModel, { sequences: 2, contextTokens: 32, build: 'relaxed' })
    const first = graph.open(32)
    expect(() => graph.open(64)).toThrow('The KV cache holds 64 tokens, 32 are reserved and 64 more')
    const second = graph.open(32)
    expect(() => graph.open(1)).toThrow('more caches are open than were planned')
    await graph.step([first, second].map((cache) => ({ cache, tokens: [2, 3] })))
    for (const cache of [first, second]) cache.dispose()
    expect(graph.usage).toMatchObject({ openCaches: 0, idlePages: 2 })
  })
})

describe('a model file that is truncated while it is read', () => {
  const copied = async (): Promise<string> => {
    const directory = join(await temporary(), 'model')
    await cp(MODEL_DIRECTORY, directory, { recursive: true })
    return directory
  }

  it('on disk is told as truncated', async () => {
    const directory = await copied()
    const model = await openWithoutData(filesFromDirectory(directory))
    await truncate(join(directory, DATA_FILE), 5_000_001)
    const { spawn, live } = countedThreads()
    const error = await errorOf(createWasmGraph({ model, sequences: 1, contextTokens: 64, spawn }))
    expect(error).toMatchObject({ code: 'invalid_model', field: DATA_FILE })
    expect(error.message).toMatch(/is truncated: 5000001 of \d+ bytes are there; download or convert/)
    expect(live()).toBe(0)
  })

  it('as a stream that ends or breaks off is told, verified or not', async () => {
    const whole = filesFromDirectory(MODEL_DIRECTORY)
    const cut = (end: (stream: ReadableStreamDefaultController) => void): ModelFiles => ({
      ...whole,
      open: async (path, range) => {
        if (path !== DATA_FILE) return whole.open(path, range)
        const start = range?.start ?? 0
        const head = await whole.open(path, { start, end: start + 100_001 })
        const bytes = new Uint8Array(
          await new Response(head as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
        )
        return new ReadableStream({
          start: (stream) => stream.enqueue(bytes),
          pull: end,
        })
      },
    })
    for (const verify of [true, false]) {
      const ended = loadEngine({ files: cut((stream) => stream.close()), verify })
      expect(await errorOf(ended)).toMatchObject({ code: 'invalid_model', field: DATA_FILE })
      const broken = loadEngine({ files: cut((stream) => stream.error(new Error('reset'))), verify })
      expect(await errorOf(broken)).toMatchObject({ code: 'io_failed', field: DATA_FILE })
    }
  })
})

describe('leaving', () => {
  it.each([
    ['one thread', { build: 'relaxed' }],
    ['several threads', { threads: 2 }],
  ] satisfies [string, Partial<WasmOptions>][])('during a step of %s ends it', async (_, options) => {
    const { spawn, live } = countedThreads()
    const graph = await wasmGraph(await fixtureModel, { sequences: 2, ...options, spawn })
    // More than fits one pass, so that the step is not over when dispose() is called.
    const caches = [graph.open(256), graph.open(256)]
    const step = graph.step(caches.map((cache) => ({ cache, tokens: Array<number>(200).fill(3) })))
    const left = graph.dispose()
    expect(await errorOf(step)).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('closed'),
    })
    await left
    expect(live()).toBe(0)
    for (const cache of caches) cache.dispose()
    expect(graph.usage).toMatchObject({ openCaches: 0, idlePages: 16 })
    expect(() => graph.open(8)).toThrow('has been closed')
    await graph.dispose() // again, without harm
  })

  it('an engine during a step fails its answers, and its threads end', async () => {
    const { spawn, live } = countedThreads()
    const engine = engineOn(await wasmGraph(await fixtureModel, { sequences: 4, threads: 2, spawn }))
    const prompts = Array.from({ length: 6 }, (_, i) => 'x'.repeat(20 * i + 1))
    const first = engine.chat(ask('y', ENDLESS))[Symbol.asyncIterator]()
    await first.next()
    const told = prompts.map((prompt) => errorOf(collect(engine, ask(prompt, ENDLESS))))
    await first.next()
    await engine.close()
    for (const error of await Promise.all(told)) expect(error.code).toBe('unavailable')
    expect(live()).toBe(0)
  })

  it('is no wait for a step asked for twice at once: the second is refused', async () => {
    const graph = await wasmGraph(await fixtureModel, { sequences: 2, build: 'relaxed' })
    const [a, b] = [graph.open(8), graph.open(8)]
    const first = graph.step([{ cache: a, tokens: [2, 3] }])
    await expect(graph.step([{ cache: b, tokens: [2, 3] }])).rejects.toThrow('while another one runs')
    const [logits] = await first
    expect(await graph.step([{ cache: b, tokens: [2, 3] }])).toEqual([logits])
  })
})

describe('a thousand aborted requests', () => {
  it('leave no page, table, thread or byte behind', async () => {
    const { spawn, live } = countedThreads()
    const graph = await wasmGraph(await fixtureModel, { sequences: 4, threads: 2, spawn })
    const engine = engineOn(graph, { slots: 4, queue: 4, prefillChunk: 16 })
    const before = graph.usage
    const expected = await collect(engine, ask('steady', { maxTokens: 5, logprobs: 1 }))
    let aborted = 0
    let refused = 0
    const one = async (i: number): Promise<void> => {
      const controller = new AbortController()
      const request = ask('ab'.repeat(1 + (i % 60)), { ...ENDLESS })
      // At once, in the queue, while the prompt is read, or after some tokens.
      if (i % 4 === 0) controller.abort()
      if (i % 4 === 1) setImmediate(() => controller.abort())
      let texts = 0
      try {
        for await (const event of engine.chat(request, { signal: controller.signal })) {
          if (event.type === 'start' && i % 4 === 2) controller.abort()
          if (event.type === 'text' && ++texts > i % 3) controller.abort()
        }
      } catch (error) {
        if ((error as FacetError).code === 'aborted') aborted++
        else if ((error as FacetError).code === 'queue_full') refused++
        else throw error
      }
    }
    for (let i = 0; i < 1000; i += 8) {
      await Promise.all(Array.from({ length: 8 }, (_, j) => one(i + j)))
    }
    expect([aborted, refused]).toEqual([1000, 0])
    const again = await collect(engine, ask('steady', { maxTokens: 5, logprobs: 1 }))
    expect(again.logprobs).toEqual(expected.logprobs)
    expect(live()).toBe(1)
    await engine.close()
    expect(graph.usage).toEqual(before)
    expect(live()).toBe(0)
  })
})

describe('an engine on the kernels', () => {
  it('answers queue_full at once when every slot and place is taken', async () => {
    const engine = engineOn(await wasmGraph(await fixtureModel, { build: 'relaxed' }), { slots: 1, queue: 1 })
    const leave = new AbortController()
    const busy = [1, 2].map(() => errorOf(collect(engine, ask('x'), { signal: leave.signal })))
    expect(await errorOf(collect(engine, ask('x')))).toMatchObject({ code: 'queue_full', status: 429 })
    leave.abort()
    for (const error of await Promise.all(busy)) expect(error.code).toBe('aborted')
  })

  it('ends answers with reason length when their contexts are full, several at once', async () => {
    const graph = await wasmGraph(await fixtureModel, { sequences: 3, contextTokens: 48, threads: 2 })
    const engine = engineOn(graph, { slots: 3, model: { id: 'x', contextTokens: 48 } })
    const answers = await Promise.all(
      [1, 30, 31, 32, 46].map((length) => collect(engine, ask('a'.repeat(length), ENDLESS))),
    )
    for (const { reason, usage } of answers) {
      expect(reason).toBe('length')
      expect(usage.promptTokens + usage.completionTokens).toBe(48)
    }
    const longer = await errorOf(collect(engine, ask('a'.repeat(47))))
    expect(longer.code).toBe('context_length_exceeded')
    await engine.close()
    expect(graph.usage).toMatchObject({ openCaches: 0, idlePages: 6 })
  })
})

describe('a runtime', () => {
  it('without SharedArrayBuffer computes on one thread, and the same', async () => {
    const tokens = [2, 100, 200, 300]
    const expected = await logitsOf(await wasmGraph(await fixtureModel, { threads: 2 }), tokens)
    vi.stubGlobal('SharedArrayBuffer', undefined)
    const { threads, spawn } = countedThreads()
    const graph = await wasmGraph(await fixtureModel, { threads: 2, spawn })
    expect([graph.name, threads.length]).toEqual(['wasm (relaxed)', 0])
    expect(await logitsOf(graph, tokens)).toEqual(expected)
  })

  it('without worker threads computes on this one', async () => {
    const { config } = await fixtureModel
    const options = { model: await fixtureModel, sequences: 1, contextTokens: config.contextTokens }
    expect((await createWasmGraph(options)).name).toBe('wasm (relaxed)')
    expect((await createWasmGraph({ ...options, build: 'threads' })).name).toBe('wasm (1 threads)')
  })

  it('without relaxed SIMD gets the build of plain SIMD', () => {
    const { validate } = WebAssembly
    const seen: boolean[] = []
    vi.spyOn(WebAssembly, 'validate').mockImplementation((bytes) => {
      seen.push(validate(bytes))
      return seen.length === 1
    })
    expect(chooseBuild(true)).toBe('simd')
    expect(seen).toEqual([true, true]) // what is asked are modules that a newer runtime takes
  })

  it('without SIMD is told what it lacks before the weights are read', async () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false)
    const error = await errorOf(loadEngine({ files: filesFromDirectory(MODEL_DIRECTORY) }))
    expect(error).toMatchObject({ code: 'unsupported', status: 501 })
    expect(error.message).toContain('This runtime has no WebAssembly SIMD; use a newer one')
  })
})
