/** The AI SDK with @ai-sdk/openai-compatible against the server, over real HTTP and the shipped model. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embedMany, generateObject, generateText, stepCountIs, streamText, tool } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { loadEngine } from '../../src/engine/node.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'

let engine: Engine
let server: Served
let provider: ReturnType<typeof createOpenAICompatible>
beforeAll(async () => {
  engine = await loadEngine(MODEL_DIRECTORY, { threads: 1, contextTokens: 768 })
  server = await serve({ app: createEdge({ backends: [engine], page: false }), port: 0 })
  provider = createOpenAICompatible({
    name: 'facet',
    baseURL: `${server.url}/v1`,
    supportsStructuredOutputs: true,
  })
})
afterAll(async () => {
  await server.close(0)
  await engine.close()
})

const ask = () => ({
  model: provider('facet-tldr-24m'),
  prompt: 'How do I list files?',
  temperature: 0,
  maxRetries: 0,
})

describe('the AI SDK', () => {
  it('generates text', async () => {
    const { text, finishReason, usage } = await generateText({ ...ask(), maxOutputTokens: 1 })
    expect(text).not.toBe('')
    expect(finishReason).toBe('length')
    expect(usage.outputTokens).toBe(1)
  })

  it('streams text', async () => {
    const { textStream, text } = streamText({ ...ask(), maxOutputTokens: 8 })
    const pieces: string[] = []
    for await (const piece of textStream) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(2)
    expect(pieces.join('')).toBe(await text)
  })

  it('generates objects of a zod schema', async () => {
    const schema = z.object({
      command: z.enum(['ls', 'cd']),
      risk: z.number().min(0).max(1),
      flags: z.array(z.string().max(4)).max(2),
      note: z.string().max(8).nullable(),
    })
    const { object } = await generateObject({ ...ask(), schema })
    expect(schema.parse(object)).toEqual(object)
  })

  it('runs tools and goes on from their results', async () => {
    const cities: string[] = []
    const weather = tool({
      description: 'Says the weather of a city.',
      inputSchema: z.object({ city: z.enum(['Rome', 'Oslo']) }),
      execute: async ({ city }) => {
        cities.push(city)
        return { degrees: 20 }
      },
    })
    const { steps } = await generateText({
      ...ask(),
      tools: { weather },
      stopWhen: stepCountIs(2),
      maxOutputTokens: 60,
      prepareStep: ({ stepNumber }) => ({
        toolChoice: stepNumber === 0 ? { type: 'tool', toolName: 'weather' } : 'none',
      }),
    })
    expect(steps).toHaveLength(2)
    expect(steps[0]!.finishReason).toBe('tool-calls')
    expect(cities[0]).toMatch(/^(Rome|Oslo)$/)
  })

  it('streams tool calls', async () => {
    const inputSchema = z.object({ city: z.enum(['Rome', 'Oslo']) })
    const weather = tool({ inputSchema, execute: async () => 'warm' })
    const { fullStream, toolCalls } = streamText({
      ...ask(),
      tools: { weather },
      toolChoice: 'required',
      maxOutputTokens: 200,
    })
    const kinds: string[] = []
    for await (const { type } of fullStream) kinds.push(type)
    expect(kinds).toContain('tool-input-delta')
    expect((await toolCalls)[0]!.toolName).toBe('weather')
  })

  it('embeds', async () => {
    const { embeddings } = await embedMany({
      model: provider.embeddingModel('facet-tldr-24m'),
      values: ['a', 'b'],
      maxRetries: 0,
    })
    expect(embeddings.map(({ length }) => length)).toEqual([384, 384])
  })
})
