import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/backend.ts'
import { loadEngine } from '../../src/engine/node.ts'
import type { ChatRequest } from '../../src/types.ts'
import { collect } from './collect.ts'
import { goldenPrompts, MODEL_DIRECTORY } from './golden.ts'

const ask = (content: string, more: object = {}): ChatRequest => ({
  messages: [{ role: 'user', content }],
  temperature: 0,
  ...more,
})

describe('the engine in a worker thread', () => {
  let engine: Engine
  const progress: number[] = []

  beforeAll(async () => {
    engine = await loadEngine(MODEL_DIRECTORY, {
      slots: 1,
      queue: 15,
      onProgress: ({ loadedBytes, totalBytes }) => progress.push(loadedBytes / totalBytes),
    })
  })
  afterAll(() => engine?.close())

  it('says what it serves and how it was loaded', () => {
    expect(engine.name).toBe('engine')
    expect(engine.model).toMatchObject({ id: 'facet-tldr-24m', quantization: 'int4', contextTokens: 2048 })
    expect(engine.model.parameters).toBe(24_289_152)
    expect(progress.at(-1)).toBe(1)
  })

  it("gives transformers' greedy ids for at least 14 of the 15 prompts", { timeout: 300_000 }, async () => {
    const answers = await Promise.all(
      goldenPrompts.map(({ prompt }) => collect(engine, ask(prompt, { logprobs: 0 }))),
    )
    const equal = goldenPrompts.filter(({ input_ids, greedy_ids_int4 }, i) => {
      const { logprobs, usage, reason } = answers[i]!
      expect(usage.promptTokens).toBe(input_ids.length)
      expect(reason).toBe('stop')
      // The end of the turn has no text, and so no log-probability.
      return logprobs.map(({ id }) => id).join() === greedy_ids_int4.slice(0, -1).join()
    })
    expect(equal.length).toBeGreaterThanOrEqual(14)
  })

  it('is bit-stable: the same request gives the same events and log-probabilities', async () => {
    const request = ask('How do I find files by name?', { logprobs: 3 })
    const [first, second] = [await collect(engine, request), await collect(engine, request)]
    expect(first.text).toBe("`find . -name '*.txt'`")
    expect(second.events.slice(1)).toEqual(first.events.slice(1))
  })

  it("leaves the caller's event loop free while it computes", async () => {
    let turns = 0
    let running = true
    const count = (): void => {
      turns++
      if (running) setImmediate(count)
    }
    setImmediate(count)
    const turnsAtEvents: number[] = []
    for await (const event of engine.chat(ask('How do I list files?', { maxTokens: 8 }))) {
      if (event.type === 'text') turnsAtEvents.push(turns)
    }
    running = false
    expect(turnsAtEvents.length).toBeGreaterThan(2)
    // A step takes as long as thousands of empty turns; were it computed here, there would be one or two.
    expect(turns).toBeGreaterThan(20 * turnsAtEvents.length)
  })

  it('frees the only slot when an answer is aborted or left', async () => {
    const single = await loadEngine(MODEL_DIRECTORY, { slots: 1, queue: 0 })
    try {
      const controller = new AbortController()
      const aborted = (async () => {
        for await (const event of single.chat(ask('Show examples for tar.'), { signal: controller.signal })) {
          if (event.type === 'text') controller.abort()
        }
      })()
      await expect(aborted).rejects.toMatchObject({ code: 'aborted' })
      for await (const event of single.chat(ask('Show examples for tar.'))) if (event.type === 'text') break
      expect((await collect(single, ask('Hi', { maxTokens: 1 }))).usage.completionTokens).toBe(1)
      const busy = single.chat(ask('Show examples for tar.'))[Symbol.asyncIterator]()
      await busy.next()
      await expect(collect(single, ask('Hi'))).rejects.toMatchObject({ code: 'queue_full', status: 429 })
      await busy.return?.()
    } finally {
      await single.close()
    }
  })

  it('scores a likely answer above an unlikely one', async () => {
    const [right, wrong] = await engine.score!({
      messages: [{ role: 'user', content: 'How do I find files by name?' }],
      continuations: ["`find . -name '*.txt'`", '`rm -rf /`'],
    })
    const sum = (tokens: typeof right): number => tokens!.reduce((total, { logprob }) => total + logprob, 0)
    expect(sum(right)).toBeGreaterThan(sum(wrong) + 5)
  })

  it('passes on refusals with their field', async () => {
    await expect(collect(engine, ask('x', { temperature: Number.NaN }))).rejects.toMatchObject({
      name: 'FacetError',
      code: 'invalid_request',
      field: 'temperature',
    })
    await expect(collect(engine, ask('word '.repeat(3000)))).rejects.toMatchObject({
      code: 'context_length_exceeded',
    })
  })
})

describe('loading', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'facet-node-'))
  })
  afterAll(() => rm(directory, { recursive: true }))

  it('of what is no model directory fails with one sentence', async () => {
    const missing = loadEngine(join(directory, 'nowhere'))
    await expect(missing).rejects.toMatchObject({
      name: 'FacetError',
      code: 'invalid_model',
      field: 'facet.json',
    })
    await expect(missing).rejects.toThrow('has no facet.json')
  })

  it('of an interrupted copy names the missing file', async () => {
    for (const file of ['facet.json', 'config.json', 'tokenizer.json']) {
      await copyFile(join(MODEL_DIRECTORY, file), join(directory, file))
    }
    await expect(loadEngine(directory)).rejects.toMatchObject({
      code: 'invalid_model',
      message: expect.stringMatching(/(generation_config.json|model.onnx) in .* is missing/),
    })
  })

  it('refuses options out of range', async () => {
    const load = loadEngine(MODEL_DIRECTORY, { contextTokens: 1_000_000, graph: 'reference' })
    await expect(load).rejects.toMatchObject({ code: 'invalid_request', field: 'contextTokens' })
  })

  it('with the reference answers the same', { timeout: 120_000 }, async () => {
    const engine = await loadEngine(MODEL_DIRECTORY, { graph: 'reference', id: 'mine', contextTokens: 64 })
    try {
      expect(engine.model).toMatchObject({ id: 'mine', contextTokens: 64 })
      const { text } = await collect(engine, ask('How do I find files by name?', { model: 'mine' }))
      expect(text).toBe("`find . -name '*.txt'`")
      const running = expect(collect(engine, ask('Show examples for tar.'))).rejects.toMatchObject({
        code: 'unavailable',
      })
      await engine.close()
      await running
      await expect(collect(engine, ask('Hi'))).rejects.toMatchObject({ code: 'unavailable' })
    } finally {
      await engine.close()
    }
  })
})
