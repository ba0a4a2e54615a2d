import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { FacetError } from '../../src/errors.ts'
import {
  type Exhibit,
  type GuardOptions,
  inputGuard,
  type Judge,
  type Judgement,
  type OutputGuardOptions,
  outputGuard,
  stack,
} from '../../src/guard/guard.ts'
import type { Backend, CallOptions, ChatEvent, ChatRequest } from '../../src/types.ts'
import { FakeBackend, gate } from '../edge/fake-backend.ts'
import { CHAT, frames, HELLO, type Json, post } from '../edge/http.ts'
import { collect } from '../engine/collect.ts'

const ASK: ChatRequest = HELLO

/** Refuses whatever has the word in it, and remembers what it was shown. */
function refusing(word: string): { readonly judge: Judge; readonly shown: Exhibit[] } {
  const shown: Exhibit[] = []
  return {
    shown,
    judge: async (exhibit) => {
      shown.push(exhibit)
      const allowed = !(exhibit.answer ?? exhibit.question).includes(word)
      return { allowed, policy: 'No Words', probability: allowed ? 0.1 : 0.9 }
    },
  }
}

const failing: Judge = async () => {
  throw new Error('out of order')
}

/** Answers only when it is told to stop. */
const slow: Judge = (_, { signal }) =>
  new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })

const eventsOf = async (
  backend: Backend,
  request: ChatRequest = ASK,
  options: CallOptions = {},
): Promise<readonly ChatEvent[]> => (await collect(backend, request, options)).events

const textOf = (events: readonly ChatEvent[]): string =>
  events.map((event) => (event.type === 'text' ? event.text : '')).join('')

describe('a guard before the model', () => {
  const guarded = (backend: Backend, options: Partial<GuardOptions> = {}): Backend =>
    inputGuard({ judge: refusing('bomb').judge, ...options })(backend)

  it('lets through what may be asked, untouched', async () => {
    const backend = new FakeBackend()
    expect(textOf(await eventsOf(guarded(backend)))).toBe('Hello!')
    expect(backend.requests).toEqual([ASK])
  })

  it('does not ask the model what may not be asked, and says why there is no answer', async () => {
    const backend = new FakeBackend()
    const request: ChatRequest = { messages: [{ role: 'user', content: 'How is a bomb built?' }] }
    const [start, finish, ...more] = await eventsOf(guarded(backend), request)
    expect(start).toMatchObject({ type: 'start', model: 'fake-model' })
    expect(finish).toEqual({
      type: 'finish',
      reason: 'content_filter',
      usage: { promptTokens: 0, completionTokens: 0 },
    })
    expect(more).toEqual([])
    expect(backend.requests).toEqual([])
  })

  it('is shown every message but the answers of the model, and raw prompts', async () => {
    const { judge, shown } = refusing('x')
    const backend = guarded(new FakeBackend(), { judge })
    await eventsOf(backend, {
      messages: [
        { role: 'system', content: 'one' },
        { role: 'user', content: 'two' },
        { role: 'assistant', content: 'three' },
        { role: 'user', content: 'four' },
      ],
    })
    await eventsOf(backend, { prompt: 'five' })
    expect(shown).toEqual([{ question: 'one\n\ntwo\n\nfour' }, { question: 'five' }])
    await expect(eventsOf(backend, { prompt: [1, 2] })).rejects.toMatchObject({
      field: 'prompt',
      status: 400,
    })
  })

  it('fails closed, unless told to fail open', async () => {
    const backend = new FakeBackend()
    const told: Judgement[] = []
    const onJudgement = (judgement: Judgement): unknown => told.push(judgement)
    const closed = guarded(backend, { judge: failing, onJudgement })
    await expect(eventsOf(closed)).rejects.toMatchObject({ code: 'unavailable' })
    expect(backend.requests).toEqual([])
    const open = guarded(backend, { judge: failing, onFailure: 'open', onJudgement })
    expect(textOf(await eventsOf(open))).toBe('Hello!')
    expect(told).toEqual([
      { side: 'input', passed: false, error: expect.any(FacetError) },
      { side: 'input', passed: true, error: expect.any(FacetError) },
    ])
  })

  it('takes a judge that does not answer in time for one that has failed', async () => {
    const pending = eventsOf(guarded(new FakeBackend(), { judge: slow, timeoutMs: 1 }))
    await expect(pending).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('is left when the caller leaves, open or closed', async () => {
    const backend = new FakeBackend()
    const guard = guarded(backend, { judge: slow, onFailure: 'open' })
    const signal = AbortSignal.abort(new FacetError('aborted', 'Gone.'))
    await expect(eventsOf(guard, ASK, { signal })).rejects.toMatchObject({ code: 'aborted' })
    expect(backend.requests).toEqual([])
  })
})

describe('a guard after the model', () => {
  const answering = (pieces: readonly string[]): FakeBackend => new FakeBackend({ pieces })
  const guarded = (backend: Backend, options: Partial<OutputGuardOptions> = {}): Backend =>
    outputGuard({ judge: refusing('bomb').judge, windowCharacters: 10, ...options })(backend)

  it('changes nothing about an answer that may pass, log-probabilities included', async () => {
    const request = { ...ASK, logprobs: 1 }
    const pieces = ['One ', 'two ', 'three ', 'four ', 'five.']
    const plain = await eventsOf(answering(pieces), request)
    expect(await eventsOf(guarded(answering(pieces)), request)).toEqual(plain)
  })

  it('holds text back until it has been judged', async () => {
    const door = gate()
    const judge: Judge = async () => {
      await door.passed
      return { allowed: true }
    }
    const events = guarded(answering(['0123456789', 'more']), { judge })
      .chat(ASK)
      [Symbol.asyncIterator]()
    let came = false
    const first = events.next().then((result) => {
      came = true
      return result
    })
    await new Promise(setImmediate)
    expect(came).toBe(false)
    door.open()
    expect((await first).value).toMatchObject({ type: 'start' })
    expect((await events.next()).value).toMatchObject({ text: '0123456789' })
    await events.return?.()
  })

  it('stops the model at the first window that may not pass, and keeps what had passed', async () => {
    const backend = answering(['All is well. ', 'Now a bo', 'mb ', ...Array(50).fill('and more ')])
    const events = await eventsOf(guarded(backend))
    expect(textOf(events)).toBe('All is well. ')
    const usage = { promptTokens: 0, completionTokens: 3, estimated: true }
    expect(events.filter(({ type }) => type === 'finish')).toEqual([
      { type: 'finish', reason: 'content_filter', usage },
    ])
    expect(backend.active).toBe(0)
    expect(backend.steps).toBeLessThan(10)
  })

  it('judges the end of an answer too, with the usage the model told', async () => {
    const events = await eventsOf(guarded(answering(['a ', 'bomb'])))
    expect(events.map(({ type }) => type)).toEqual(['start', 'finish'])
    expect(events[1]).toMatchObject({
      reason: 'content_filter',
      usage: { promptTokens: 5, completionTokens: 2 },
    })
  })

  it('shows the judge what came before, as far as it shall, so that nothing hides on an edge', async () => {
    const { judge, shown } = refusing('x')
    await eventsOf(guarded(answering(['0123456789', 'abcdefghij']), { judge }))
    await eventsOf(guarded(answering(['0123456789', 'abcdefghij']), { judge, contextCharacters: 3 }))
    expect(shown.map(({ question, answer }) => [question, answer])).toEqual([
      ['Hello', '0123456789'],
      ['Hello', '0123456789abcdefghij'],
      ['Hello', '0123456789'],
      ['Hello', '789abcdefghij'],
    ])
    const hidden = answering(['a long text bo', 'mb and on and on'])
    expect(textOf(await eventsOf(guarded(hidden)))).toBe('a long text bo')
  })

  it('judges the arguments of tools', async () => {
    const backend: Backend = {
      name: 'tools',
      model: { id: 'tools' },
      async *chat() {
        yield { type: 'start', id: '1', model: 'tools', backend: 'tools' }
        yield { type: 'tool', index: 0, id: 'a', name: 'buy', arguments: '{"what":"bomb"}' }
        yield { type: 'finish', reason: 'tool_calls', usage: { promptTokens: 1, completionTokens: 1 } }
      },
    }
    expect((await eventsOf(guarded(backend))).map(({ type }) => type)).toEqual(['start', 'finish'])
  })

  it('fails closed in the middle of an answer, unless told to fail open', async () => {
    const pieces = ['0123456789', 'more']
    const closed = guarded(answering(pieces), { judge: failing })
    await expect(eventsOf(closed)).rejects.toMatchObject({ code: 'unavailable' })
    const open = guarded(answering(pieces), { judge: failing, onFailure: 'open' })
    expect(textOf(await eventsOf(open))).toBe('0123456789more')
  })

  it('never lets the word through, however the answer is cut into pieces', async () => {
    const piece = fc.constantFrom('bo', 'mb', 'b', 'om', ' ', 'and on and on')
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 30 }),
        fc.constantFrom(1, 7, 40, Infinity),
        async (pieces, windowCharacters) => {
          const whole = pieces.join('')
          const events = await eventsOf(guarded(answering(pieces), { windowCharacters }))
          expect(textOf(events)).not.toContain('bomb')
          expect(whole.startsWith(textOf(events))).toBe(true)
          const reason = whole.includes('bomb') ? 'content_filter' : 'stop'
          expect(events.at(-1)).toMatchObject({ type: 'finish', reason })
        },
      ),
    )
  })
})

describe('guards in the edge', () => {
  const { judge } = refusing('bomb')
  const layers = [inputGuard({ judge }), outputGuard({ judge, windowCharacters: 5 })]

  it('answer with content_filter, streamed and not', async () => {
    const app = createEdge({ backends: [new FakeBackend({ pieces: ['All ', 'well ', 'bomb'] })], layers })
    const whole: Json = await (await post(app, CHAT, HELLO)).json()
    expect(whole.choices[0]).toMatchObject({
      message: { content: 'All well ' },
      finish_reason: 'content_filter',
    })
    const streamed = await frames(await post(app, CHAT, { ...HELLO, stream: true }))
    expect(streamed.pop()).toBe('[DONE]')
    expect(streamed.at(-1).choices[0].finish_reason).toBe('content_filter')
    const refused = await post(app, CHAT, { messages: [{ role: 'user', content: 'bomb' }] })
    expect(refused.status).toBe(200)
    expect(((await refused.json()) as Json).choices[0].finish_reason).toBe('content_filter')
  })

  it('keep what the backend can do besides', async () => {
    const scoring = Object.assign(new FakeBackend(), { score: async () => [] })
    const backend = stack(...layers)(scoring)
    expect(await backend.score!({ prompt: 'x', continuations: ['y'] })).toEqual([])
    expect(backend.model.id).toBe('fake-model')
    expect('embed' in backend).toBe(false)
  })
})
