/** The provider, used through the AI SDK's own functions. */
import { embedMany, generateObject, generateText, type LanguageModel, streamText, tool } from 'ai'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createFacet } from '../../src/ai/provider.ts'
import { FacetError } from '../../src/errors.ts'
import { router } from '../../src/route/router.ts'
import type { Backend, ChatEvent, ChatRequest } from '../../src/types.ts'
import { FakeBackend, gate } from '../edge/fake-backend.ts'

const CALL: readonly ChatEvent[] = [
  { type: 'start', id: '1', model: 'fake', backend: 'fake' },
  { type: 'tool', index: 0, id: 'c1', name: 'weather', arguments: '{"city"' },
  { type: 'tool', index: 0, arguments: ':"Bern"}' },
  { type: 'finish', reason: 'tool_calls', usage: { promptTokens: 4, completionTokens: 6, cachedTokens: 1 } },
]

/** Answers each request with the next list of events. */
function scripted(...answers: (readonly ChatEvent[])[]): Backend & { requests: ChatRequest[] } {
  const requests: ChatRequest[] = []
  return {
    name: 'scripted',
    model: { id: 'scripted' },
    requests,
    async *chat(request) {
      requests.push(request)
      yield* answers[requests.length - 1]!
    },
  }
}

const said = (text: string): ChatEvent[] => [
  { type: 'start', id: '2', model: 'fake', backend: 'fake' },
  { type: 'text', text },
  { type: 'finish', reason: 'stop', usage: { promptTokens: 5, completionTokens: 3 } },
]

describe('the AI SDK', () => {
  it('generates text over a Backend', async () => {
    const backend = new FakeBackend()
    const { text, usage, finishReason, response } = await generateText({
      model: createFacet(backend)(),
      instructions: 'Be brief.',
      prompt: 'Hello',
      temperature: 0,
      topK: 3,
      maxOutputTokens: 9,
      stopSequences: ['\n'],
      providerOptions: { facet: { minP: 0.1 } },
    })
    expect([text, finishReason, response.modelId]).toEqual(['Hello!', 'stop', 'fake-model'])
    expect(usage).toMatchObject({ inputTokens: 5, outputTokens: 3, totalTokens: 8 })
    expect(backend.requests).toEqual([
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Hello' },
        ],
        temperature: 0,
        topK: 3,
        maxTokens: 9,
        stop: ['\n'],
        minP: 0.1,
      },
    ])
  })

  it('streams text over a router', async () => {
    const failing: Backend = {
      name: 'down',
      model: { id: 'down' },
      // biome-ignore lint/correctness/useYield: it fails before it says anything
      async *chat() {
        throw new FacetError('unavailable', 'It is down.')
      },
    }
    const stream = streamText({
      model: createFacet(router([failing, new FakeBackend()]))('gemma'),
      prompt: 'Hello',
    })
    const pieces: string[] = []
    for await (const piece of stream.textStream) pieces.push(piece)
    expect(pieces).toEqual(['Hel', 'lo', '!'])
    expect(await stream.usage).toMatchObject({ inputTokens: 5, outputTokens: 3 })
  })

  it('calls tools and brings their results back', async () => {
    const backend = scripted(CALL, said('Sunny.'))
    const weather = tool({
      description: 'Weather of a city',
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => ({ city, sky: 'sunny' }),
    })
    const { text } = await generateText({
      model: createFacet(backend)(),
      prompt: 'Weather?',
      tools: { weather },
      toolChoice: 'auto',
      stopWhen: ({ steps }) => steps.length === 2,
    })
    expect(text).toBe('Sunny.')
    expect(backend.requests[0]).toMatchObject({
      tools: [
        {
          name: 'weather',
          description: 'Weather of a city',
          parameters: { type: 'object', required: ['city'] },
        },
      ],
      toolChoice: 'auto',
    })
    expect(backend.requests[1]!.messages!.slice(1)).toEqual([
      {
        role: 'assistant',
        content: '',
        toolCalls: [{ id: 'c1', name: 'weather', arguments: '{"city":"Bern"}' }],
      },
      { role: 'tool', toolCallId: 'c1', content: '{"city":"Bern","sky":"sunny"}' },
    ])
  })

  it('streams calls of tools in pieces', async () => {
    const stream = streamText({
      model: createFacet(scripted(CALL))(),
      prompt: 'Weather?',
      tools: { weather: tool({ inputSchema: z.object({ city: z.string() }) }) },
    })
    const types: string[] = []
    for await (const part of stream.fullStream) types.push(part.type)
    expect(types).toContain('tool-input-delta')
    expect(await stream.toolCalls).toMatchObject([
      { toolCallId: 'c1', toolName: 'weather', input: { city: 'Bern' } },
    ])
  })

  it('generates objects by their schema', async () => {
    const backend = scripted(said('{"city":"Bern"}'))
    const { object } = await generateObject({
      model: createFacet(backend)(),
      schema: z.object({ city: z.string() }),
      prompt: 'A city',
    })
    expect(object).toEqual({ city: 'Bern' })
    expect(backend.requests[0]!.responseFormat).toMatchObject({
      type: 'json_schema',
      schema: { type: 'object', properties: { city: { type: 'string' } } },
    })
  })

  it('throws what fails before the first content, once, and what breaks a stream', async () => {
    let asked = 0
    const before = (step: number): void => {
      asked++
      if (step === (asked > 1 ? 1 : 0)) throw new FacetError('unavailable', 'It is down.')
    }
    const model = createFacet(new FakeBackend({ before }))()
    await expect(generateText({ model, prompt: 'x' })).rejects.toMatchObject({ code: 'unavailable' })
    expect(asked).toBe(1)
    const told: unknown[] = []
    const stream = streamText({ model, prompt: 'x', onError: ({ error }) => void told.push(error) })
    let text = ''
    const reading = (async () => {
      for await (const piece of stream.textStream) text += piece
    })()
    await Promise.allSettled([reading])
    expect(text).toBe('Hel')
    expect(told).toMatchObject([{ code: 'unavailable' }])
  })

  it('stops the backend when it is aborted', async () => {
    const { passed } = gate()
    const backend = new FakeBackend({ before: (step) => (step === 1 ? passed : undefined) })
    const control = new AbortController()
    const stream = streamText({
      model: createFacet(backend)(),
      prompt: 'x',
      abortSignal: control.signal,
      onError: () => {},
    })
    for await (const piece of stream.textStream) if (piece) control.abort()
    await backend.idle()
    expect(backend.aborted).toBe(1)
  })

  it('embeds, finds models by id, and has no images', async () => {
    const embedding: Backend = Object.assign(new FakeBackend({ id: 'e' }), {
      embed: async (texts: readonly string[]) => texts.map((text) => Float32Array.of(text.length)),
    })
    const facet = createFacet([new FakeBackend({ id: 'a' }), embedding])
    const { embeddings } = await embedMany({ model: facet.embeddingModel('e'), values: ['x', 'yy'] })
    expect(embeddings).toEqual([[1], [2]])
    expect((facet('a') as Exclude<LanguageModel, string>).modelId).toBe('a')
    expect(() => facet('c')).toThrow('c')
    expect(() => facet.imageModel('a')).toThrow()
    const image = {
      role: 'user' as const,
      content: [{ type: 'image' as const, image: new Uint8Array([137, 80, 78, 71]) }],
    }
    await expect(generateText({ model: facet('a'), messages: [image] })).rejects.toMatchObject({
      code: 'unsupported',
      field: 'prompt[0].content',
    })
  })
})
