import { describe, expect, it } from 'vitest'
import { createEngine, type Engine, type EngineOptions } from '../../src/engine/backend.ts'
import { FacetError } from '../../src/errors.ts'
import type { ChatEvent, ChatRequest } from '../../src/types.ts'
import { collect } from './collect.ts'
import { END_OF_TURN, type FakeGraph, fakeGraph, letters, says, VOCAB } from './fake-graph.ts'

const engineOn = (graph: FakeGraph, options: Partial<EngineOptions> = {}): Engine =>
  createEngine({ graph, tokenizer: letters, model: { id: 'fake' }, ...options })

const ask = (content: string, more: object = {}): ChatRequest => ({
  messages: [{ role: 'user', content }],
  temperature: 0,
  ...more,
})

/** Never ends a turn. */
const endless = (): FakeGraph => fakeGraph(() => 'a'.charCodeAt(0) + 128, 4096)

/** Reads until this many text events have come, and leaves the iterator open. */
async function readTexts(events: AsyncIterator<ChatEvent>, count: number): Promise<void> {
  for (let texts = 0; texts < count; ) {
    const { value, done } = await events.next()
    if (done) throw new Error('the answer ended early')
    if (value.type === 'text') texts++
  }
}

const errorOf = async (work: Promise<unknown>): Promise<FacetError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof FacetError)) throw new Error(`expected a FacetError, got ${error}`)
  return error
}

describe('an answer', () => {
  it('comes as start, text and finish with its usage', async () => {
    const engine = engineOn(fakeGraph(says('Hello there.')))
    const { events, text, reason, usage } = await collect(engine, ask('Hi'))
    expect(events[0]).toMatchObject({ type: 'start', model: 'fake', backend: 'engine' })
    expect(text).toBe('Hello there.')
    expect(reason).toBe('stop')
    // bos, <start_of_turn>, "user\nHi", <end_of_turn>, newline, <start_of_turn>, "model\n"
    expect(usage).toEqual({ promptTokens: 1 + 1 + 7 + 1 + 1 + 1 + 6, completionTokens: 13 })
  })

  it('ends at max tokens with reason length', async () => {
    const engine = engineOn(fakeGraph(says('Hello there.')))
    const { text, reason, usage } = await collect(engine, ask('Hi', { maxTokens: 5 }))
    expect([text, reason, usage.completionTokens]).toEqual(['Hello', 'length', 5])
  })

  it('ends with reason length when the context is full', async () => {
    const engine = engineOn(endless(), { model: { id: 'fake', contextTokens: 20 } })
    const { text, reason, usage } = await collect(engine, { prompt: 'abcdefgh', temperature: 0 })
    expect(reason).toBe('length')
    expect(text).toBe('a'.repeat(11))
    expect(usage.promptTokens + usage.completionTokens).toBe(20)
  })

  it('ends before a stop string that spans tokens, and sends nothing of it', async () => {
    const engine = engineOn(fakeGraph(says('one two three four')))
    const { events, text, reason, usage } = await collect(engine, ask('Hi', { stop: ['two four', ' thr'] }))
    expect([text, reason]).toEqual(['one two', 'stop'])
    expect(usage.completionTokens).toBe('one two thr'.length)
    const sent = events.flatMap((event) => (event.type === 'text' ? [event.text] : []))
    expect(sent.at(-1)).toBe('two') // held back while it might have become "two four"
  })

  it('is held to its form by the next request, where the grammar could not be made for one', async () => {
    let broken = true
    const tokenizer = {
      ...letters,
      decode: (ids: readonly number[]) => {
        if (broken) throw new Error('gone for a moment')
        return letters.decode(ids)
      },
    }
    const engine = engineOn(fakeGraph(says('{}')), { tokenizer })
    const request = ask('Hi', { responseFormat: { type: 'json_object' }, maxTokens: 2 })
    await expect(collect(engine, request)).rejects.toThrow('gone for a moment')
    broken = false
    expect((await collect(engine, request)).text).toMatch(/^\{/)
  })

  it('ends at end_of_turn even if no configuration names it', async () => {
    const graph = fakeGraph(says('Yes.'))
    const silent = { ...graph, config: { ...graph.config, eosIds: [1] } }
    const { text, reason } = await collect(engineOn(silent), ask('Hi'))
    expect([text, reason]).toEqual(['Yes.', 'stop'])
  })

  it('reports log-probabilities of the model, whatever is sampled', async () => {
    const engine = engineOn(fakeGraph(says('abc')))
    const request = ask('Hi', { logprobs: 2, temperature: 5, logitBias: { [letters.encode('z')[0]!]: 100 } })
    const { text, logprobs } = await collect(engine, { ...request, maxTokens: 2 })
    expect(text).toBe('zz')
    const expected = -Math.log(Math.exp(10) + VOCAB - 1)
    for (const token of logprobs) {
      expect(token).toMatchObject({ text: 'z' })
      expect(token.logprob).toBeCloseTo(expected, 5)
      expect(token.top?.[0]?.logprob).toBeCloseTo(10 + expected, 5)
    }
    expect(logprobs.map(({ top }) => top![0]!.text)).toEqual(['a', 'a'])
  })

  it('has log-probabilities for exactly the tokens whose text is sent', async () => {
    const engine = engineOn(fakeGraph(says('one two three')))
    const { text, logprobs } = await collect(engine, ask('Hi', { logprobs: 0, stop: [' three'] }))
    expect(logprobs.map((token) => token.text).join('')).toBe(text)
    expect(logprobs[0]).not.toHaveProperty('top')
  })

  it('is the same for the same seed and another for another', async () => {
    const flat = (): FakeGraph =>
      fakeGraph(() => new Float32Array(VOCAB).fill(0).map((_, id) => (id < 128 ? -99 : 0)))
    const sample = async (seed: number): Promise<string> =>
      (await collect(engineOn(flat()), { prompt: 'x', seed, maxTokens: 30 })).text
    expect(await sample(7)).toBe(await sample(7))
    expect(await sample(7)).not.toBe(await sample(8))
  })
})

describe('the scheduler', () => {
  it('decodes several answers in one step', async () => {
    const graph = fakeGraph(says('Hello there.'))
    const engine = engineOn(graph, { slots: 3 })
    const answers = await Promise.all(['a', 'b', 'c'].map((text) => collect(engine, ask(text))))
    expect(answers.map(({ text }) => text)).toEqual(Array(3).fill('Hello there.'))
    expect(graph.steps.filter((step) => step.join() === '1,1,1')).toHaveLength(12)
  })

  it('keeps answering while a long prompt is taken in chunks', async () => {
    const graph = endless()
    const engine = engineOn(graph, { prefillChunk: 16, slots: 2 })
    const short = engine.chat(ask('short', { maxTokens: 200 }))[Symbol.asyncIterator]()
    await readTexts(short, 1)
    const before = graph.steps.length
    await collect(engine, { prompt: 'x'.repeat(320), maxTokens: 1 })
    const steps = graph.steps.slice(before)
    const chunks = steps.filter((step) => step.some((size) => size > 1))
    expect(chunks.map((step) => step.join()).slice(0, 20)).toEqual(Array(20).fill('1,16'))
    await short.return?.()
  })

  it('takes two long prompts in turns', async () => {
    const graph = endless()
    const order: number[] = []
    const engine = engineOn(graph, { prefillChunk: 16, slots: 2 })
    graph.onStep = (batch) => void order.push(batch[0]!.tokens[0]!)
    await Promise.all(
      ['x', 'y'].map((c) => collect(engine, { prompt: letters.encode(c.repeat(64)), maxTokens: 1 })),
    )
    const [x, y] = letters.encode('xy')
    expect(order.slice(0, 8)).toEqual([x, y, x, y, x, y, x, y])
  })

  it('cuts a prompt at the same places whatever else runs', async () => {
    const sizes = async (others: number): Promise<number[]> => {
      const graph = endless()
      const engine = engineOn(graph, { prefillChunk: 16, slots: 4 })
      const seen: number[] = []
      const mark = letters.encode('x')[0]!
      graph.onStep = (batch) => {
        for (const { tokens } of batch) if (tokens[0] === mark) seen.push(tokens.length)
      }
      const noise = Array.from({ length: others }, (_, i) =>
        collect(engine, { prompt: 'n'.repeat(5 + 11 * i), maxTokens: 9 }),
      )
      await Promise.all([...noise, collect(engine, { prompt: letters.encode('x'.repeat(41)), maxTokens: 3 })])
      return seen
    }
    expect(await sizes(0)).toEqual([16, 16, 9])
    expect(await sizes(3)).toEqual([16, 16, 9])
  })

  it('opens no more caches than slots and uses them again', async () => {
    const graph = fakeGraph(says('Hi.'))
    const engine = engineOn(graph, { slots: 2, queue: 10 })
    await Promise.all(Array.from({ length: 10 }, () => collect(engine, ask('x'))))
    expect(graph.opened).toBe(2)
  })

  it('answers queue_full at once, and says when to come again', async () => {
    const engine = engineOn(endless(), { slots: 1, queue: 2 })
    const leave = new AbortController()
    const busy = [1, 2, 3].map(() => collect(engine, ask('x'), { signal: leave.signal }))
    const error = await errorOf(collect(engine, ask('x')))
    expect(error).toMatchObject({ code: 'queue_full', status: 429 })
    expect(error.retryAfterMs).toBeGreaterThanOrEqual(1000)
    leave.abort()
    for (const each of busy) expect((await errorOf(each)).code).toBe('aborted')
    expect((await collect(engine, ask('x', { maxTokens: 2 }))).text).toBe('aa')
  })

  it('fails the answers of a step that fails, and goes on with the next', async () => {
    const graph = fakeGraph(says('Fine.'))
    const engine = engineOn(graph)
    graph.onStep = () => {
      throw new Error('device lost')
    }
    expect(await errorOf(collect(engine, ask('x')))).toMatchObject({ code: 'internal' })
    graph.onStep = () => {}
    expect((await collect(engine, ask('x'))).text).toBe('Fine.')
  })

  it('reports logits that are not numbers instead of making text of them', async () => {
    const engine = engineOn(fakeGraph(() => new Float32Array(VOCAB).fill(Number.NaN)))
    const error = await errorOf(collect(engine, ask('x')))
    expect(error.message).toContain('not numbers')
  })
})

describe('leaving', () => {
  it('stops within one step when the loop is left', async () => {
    const graph = endless()
    const engine = engineOn(graph)
    let texts = 0
    for await (const event of engine.chat(ask('x'))) {
      if (event.type === 'text' && ++texts === 5) break
    }
    const left = graph.steps.length
    await collect(engine, ask('y', { maxTokens: 3 }))
    const lone = graph.steps.slice(left).filter((step) => step.length > 1)
    expect(lone.length).toBeLessThanOrEqual(1)
  })

  it('stops within one step when the signal aborts', async () => {
    const graph = endless()
    const engine = engineOn(graph)
    const controller = new AbortController()
    const events = engine.chat(ask('x'), { signal: controller.signal })[Symbol.asyncIterator]()
    await readTexts(events, 5)
    const before = graph.steps.length
    controller.abort()
    expect(await errorOf(events.next())).toMatchObject({ code: 'aborted' })
    await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))))
    expect(graph.steps.length - before).toBeLessThanOrEqual(1)
  })

  it('hears an abort between steps although every step is computed at once', async () => {
    const graph = endless()
    const engine = engineOn(graph)
    const controller = new AbortController()
    setImmediate(() => controller.abort())
    const error = await errorOf(collect(engine, ask('x'), { signal: controller.signal }))
    expect(error.code).toBe('aborted')
    expect(graph.steps.length).toBeLessThanOrEqual(2)
  })

  it('leaves the queue when aborted before its turn', async () => {
    const graph = endless()
    const engine = engineOn(graph, { slots: 1, queue: 1 })
    const first = engine.chat(ask('x'))[Symbol.asyncIterator]()
    await readTexts(first, 1)
    const second = engine.chat(ask('y'))[Symbol.asyncIterator]()
    const waiting = second.next()
    await second.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
    const third = engine.chat(ask('z', { maxTokens: 1 }))[Symbol.asyncIterator]()
    const start = third.next() // would be queue_full were the second still there
    await first.return?.()
    expect(await start).toMatchObject({ value: { type: 'start' } })
  })

  it('refuses a signal that is aborted already', async () => {
    const graph = endless()
    const signal = AbortSignal.abort()
    expect((await errorOf(collect(engineOn(graph), ask('x'), { signal }))).code).toBe('aborted')
    expect(graph.steps).toEqual([])
  })

  it('ends everything with unavailable when closed', async () => {
    const graph = endless()
    const engine = engineOn(graph, { slots: 1 })
    const running = [collect(engine, ask('x')), collect(engine, ask('y'))]
    const closed = engine.close()
    for (const answer of running) expect(await errorOf(answer)).toMatchObject({ code: 'unavailable' })
    await closed
    expect(graph.disposed).toBe(true)
    expect(await errorOf(collect(engine, ask('x')))).toMatchObject({ code: 'unavailable' })
  })
})

describe('time limits', () => {
  /** Computes so many steps, and then none. */
  const stuckAfter = (count: number): FakeGraph => {
    const graph = endless()
    graph.onStep = () => (graph.steps.length > count ? new Promise(() => {}) : undefined)
    return graph
  }

  it.each([
    ['firstTokenMs', 0],
    ['idleMs', 3],
    ['totalMs', 3],
  ])('%s ends an answer that is too slow', async (name, steps) => {
    const answer = collect(engineOn(stuckAfter(steps)), ask('x'), { timeouts: { [name]: 20 } })
    const error = await errorOf(answer)
    expect(error).toMatchObject({ code: 'timeout', status: 504 })
    expect(error.message).toContain(`timeouts.${name}`)
  })

  it('end a score that is too slow', async () => {
    const request = { prompt: 'x', continuations: ['y'] }
    const score = engineOn(stuckAfter(0)).score!(request, { timeouts: { totalMs: 20 } })
    expect((await errorOf(score)).code).toBe('timeout')
  })

  it('of the signal are told from an abort', async () => {
    const answer = collect(engineOn(stuckAfter(1)), ask('x'), { signal: AbortSignal.timeout(20) })
    expect((await errorOf(answer)).code).toBe('timeout')
  })

  it('that are none are refused by name', async () => {
    const answer = collect(engineOn(endless()), ask('x'), { timeouts: { idleMs: Number.NaN } })
    expect(await errorOf(answer)).toMatchObject({ code: 'invalid_request', field: 'timeouts.idleMs' })
  })
})

describe('scores', () => {
  it('are the log-likelihoods of what follows the prompt', async () => {
    const graph = fakeGraph(says('yes'))
    const engine = engineOn(graph)
    const [right, wrong] = await engine.score!({ prompt: 'Is it? ', continuations: ['yes', 'no'], top: 1 })
    expect(right!.map(({ text }) => text)).toEqual(['y', 'e', 's'])
    for (const { logprob, top, id } of right!) {
      expect(logprob).toBeCloseTo(10 - Math.log(Math.exp(10) + VOCAB - 1), 5)
      expect(top![0]!.id).toBe(id)
    }
    expect(wrong!).toHaveLength(2)
    expect(wrong![0]!.top![0]!.text).toBe('y')
  })

  it('compute the prompt once for all continuations', async () => {
    const graph = endless()
    const engine = engineOn(graph)
    await engine.score!({ prompt: 'x'.repeat(99), continuations: ['aaa', 'bbb', 'c', 'dddd'] })
    expect(graph.steps).toEqual([[100], [2], [2], [3]])
  })

  it('of a long continuation are those of its parts', async () => {
    const graph = fakeGraph((seen) => seen.length % VOCAB)
    const ids = Array.from({ length: 50 }, (_, i) => (i * 7) % VOCAB)
    const whole = await engineOn(graph).score!({ prompt: [2], continuations: [ids] })
    const chunked = await engineOn(graph, { prefillChunk: 8 }).score!({ prompt: [2], continuations: [ids] })
    expect(chunked).toEqual(whole)
    for (const [i, { id, logprob }] of whole[0]!.entries()) {
      expect(logprob > -1).toBe(id === (i + 1) % VOCAB)
    }
  })

  it('follow the open turn of a conversation', async () => {
    const engine = engineOn(fakeGraph(says('yes')))
    const [score] = await engine.score!({
      messages: [{ role: 'user', content: 'Hi' }],
      continuations: ['yes'],
    })
    expect(score!.every(({ logprob }) => logprob > -1)).toBe(true)
  })

  it('refuse what cannot be scored', async () => {
    const engine = engineOn(endless(), { model: { id: 'fake', contextTokens: 20 } })
    const refusal = (request: object) =>
      errorOf(engine.score!({ prompt: 'x', continuations: ['y'], ...request } as never))
    expect(await refusal({ continuations: [] })).toMatchObject({ field: 'continuations' })
    expect(await refusal({ continuations: ['a', ''] })).toMatchObject({ field: 'continuations[1]' })
    expect(await refusal({ continuations: [[VOCAB]] })).toMatchObject({ field: 'continuations[0][0]' })
    expect(await refusal({ top: 21 })).toMatchObject({ field: 'top' })
    expect(await refusal({ continuations: ['y'.repeat(30)] })).toMatchObject({
      code: 'context_length_exceeded',
    })
  })
})

describe('a request', () => {
  const engine = engineOn(fakeGraph(says('.'), 32))
  it.each([
    ['temperature', Number.NaN],
    ['temperature', -1],
    ['temperature', '1'],
    ['topK', 0],
    ['topP', 0],
    ['topP', 1.5],
    ['topP', Number.NaN],
    ['minP', -0.1],
    ['seed', 1.5],
    ['repetitionPenalty', 0],
    ['repetitionPenalty', Number.POSITIVE_INFINITY],
    ['presencePenalty', 3],
    ['frequencyPenalty', Number.NaN],
    ['maxTokens', 0],
    ['maxTokens', -5],
    ['maxTokens', 2.5],
    ['logprobs', 21],
    ['stop', 'text'],
    ['stop[1]', ['ok', '']],
    ['logitBias', { x: 1 }],
    ['logitBias', { [VOCAB]: 1 }],
    ['logitBias[5]', { 5: 101 }],
    ['logitBias[5]', { 5: Number.NaN }],
    ['messages', []],
    ['messages', 'hello'],
    ['messages[0]', [null]],
    ['messages[0].content', [{ role: 'user', content: 5 }]],
    ['messages[0].role', [{ role: 'robot', content: 'x' }]],
  ])('with a wrong %s is refused by name: %j', async (field, value) => {
    const request = { ...ask('x'), [field.replace(/\[.*/, '')]: value } as ChatRequest
    const error = await errorOf(collect(engine, request))
    expect(error).toMatchObject({ code: 'invalid_request', field })
    expect(error.message).toContain(field)
    expect(error.message).toMatch(/\.$/)
  })

  it('with both messages and prompt, or neither, is refused', async () => {
    expect((await errorOf(collect(engine, { ...ask('x'), prompt: 'y' } as never))).field).toBe('prompt')
    expect((await errorOf(collect(engine, {} as never))).field).toBe('prompt')
    expect((await errorOf(collect(engine, { prompt: [2, -1] }))).field).toBe('prompt[1]')
    expect((await errorOf(collect(engine, { prompt: [] }))).field).toBe('prompt')
  })

  it('for another model is refused by name', async () => {
    expect(await errorOf(collect(engine, ask('x', { model: 'gpt-4' })))).toMatchObject({
      code: 'model_not_found',
    })
    expect((await collect(engine, ask('x', { model: 'fake' }))).text).toBe('.')
  })

  it('longer than the context learns how long it is and may be', async () => {
    const error = await errorOf(collect(engine, { prompt: 'x'.repeat(40) }))
    expect(error).toMatchObject({ code: 'context_length_exceeded', field: 'prompt' })
    expect(error.message).toContain('41 tokens')
    expect(error.message).toContain('at most 31')
    expect((await collect(engine, { prompt: 'x'.repeat(30) })).usage.promptTokens).toBe(31)
  })

  it('that bans every token is refused', async () => {
    const all = Object.fromEntries(Array.from({ length: VOCAB }, (_, id) => [id, -100]))
    expect(await errorOf(collect(engine, ask('x', { logitBias: all })))).toMatchObject({ field: 'logitBias' })
  })
})

describe('an engine', () => {
  it.each([
    ['slots', { slots: 0 }],
    ['queue', { queue: -1 }],
    ['contextTokens', { model: { id: 'x', contextTokens: 4097 } }],
    ['contextTokens', { model: { id: 'x', contextTokens: Number.NaN } }],
  ])('refuses %s out of range', (field, options) => {
    expect(() => engineOn(endless(), options)).toThrow(
      expect.objectContaining({ code: 'invalid_request', field }),
    )
  })

  it('says how much its context holds', () => {
    expect(engineOn(endless()).model).toEqual({ id: 'fake', contextTokens: 4096 })
    expect(END_OF_TURN).toBe(letters.idOf('<end_of_turn>'))
  })
})
