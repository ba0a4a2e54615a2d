/** The facade's types against those of the official package: what compiled with one compiles with the other. */
import type Official from 'openai'
import { describe, expectTypeOf, it } from 'vitest'
import type * as Wire from '../../src/openai/openai.ts'
import type OpenAI from '../../src/openai/openai.ts'

type Chat = OpenAI['chat']['completions']['create']

describe('the types', () => {
  it('take what the official client takes', () => {
    expectTypeOf<Official.ChatCompletionMessageParam>().toExtend<Wire.ChatCompletionMessageParam>()
    expectTypeOf<Official.ChatCompletionTool>().toExtend<Wire.ChatCompletionTool>()
    expectTypeOf<Official.ChatCompletionCreateParams>().toExtend<Wire.ChatCompletionCreateParams>()
    expectTypeOf<Official.CompletionCreateParams>().toExtend<Wire.CompletionCreateParams>()
    expectTypeOf<Official.EmbeddingCreateParams>().toExtend<Wire.EmbeddingCreateParams>()
  })

  it('give what the official client gives', () => {
    expectTypeOf<Wire.ChatCompletion>().toExtend<Official.ChatCompletion>()
    expectTypeOf<Wire.ChatCompletionChunk>().toExtend<Official.ChatCompletionChunk>()
    expectTypeOf<Wire.Completion>().toExtend<Official.Completion>()
    expectTypeOf<Wire.CreateEmbeddingResponse>().toExtend<Official.CreateEmbeddingResponse>()
    expectTypeOf<Wire.Model>().toExtend<Official.Model>()
  })

  it('answer with a stream exactly where one is asked for', () => {
    const create = {} as Chat
    const typed = () => ({
      whole: create({ model: 'x', messages: [] }),
      streamed: create({ model: 'x', messages: [], stream: true }),
    })
    expectTypeOf(typed).returns.toEqualTypeOf<{
      whole: Wire.ApiPromise<Wire.ChatCompletion>
      streamed: Wire.ApiPromise<Wire.Stream<Wire.ChatCompletionChunk>>
    }>()
  })

  it('have their official names', () => {
    expectTypeOf<Official.ChatCompletionUserMessageParam>().toExtend<OpenAI.ChatCompletionUserMessageParam>()
    expectTypeOf<OpenAI.Chat.ChatCompletion>().toExtend<Official.Chat.ChatCompletion>()
    expectTypeOf<OpenAI.Chat.Completions.ChatCompletionChunk>().toExtend<Official.Chat.Completions.ChatCompletionChunk>()
    expectTypeOf<Official.ChatCompletionCreateParamsStreaming>().toExtend<OpenAI.ChatCompletionCreateParamsStreaming>()
    expectTypeOf<OpenAI.Embedding>().toExtend<Official.Embedding>()
  })
})
