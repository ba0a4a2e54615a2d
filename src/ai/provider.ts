/** `gemfacet/ai`: a provider for the AI SDK over any Backend, the router included. */
import {
  type EmbeddingModelV4,
  type LanguageModelV4,
  type LanguageModelV4Content,
  type LanguageModelV4GenerateResult,
  type LanguageModelV4StreamPart,
  NoSuchModelError,
  type ProviderV4,
} from '@ai-sdk/provider'
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'
import { toParts } from './events.ts'
import { toRequest } from './prompt.ts'

/** `facet()` is the first backend, `facet('gemma-7b-it')` the one whose model has this id. */
export interface FacetProvider extends ProviderV4 {
  (modelId?: string): LanguageModelV4
  languageModel(modelId?: string): LanguageModelV4
}

/**
 * Errors are FacetErrors, which the AI SDK does not retry: the router has done what can be done.
 *
 * @param backends one, for example a router, which answers whatever model is named; or several
 * @throws NoSuchModelError from the functions it gives, for a name that none of several backends has
 */
export function createFacet(backends: Backend | readonly Backend[]): FacetProvider {
  const all = 'chat' in backends ? [backends] : backends
  if (all.length === 0) {
    throw new FacetError('invalid_request', 'backends is empty; give createFacet at least one Backend.', {
      field: 'backends',
    })
  }
  type Kind = 'languageModel' | 'embeddingModel' | 'imageModel'
  const find = (modelId: string | undefined, modelType: Kind): Backend => {
    if (all.length === 1 || modelId === undefined) return all[0]!
    const found = all.find(({ model }) => model.id === modelId)
    if (!found) throw new NoSuchModelError({ modelId, modelType })
    return found
  }
  const languageModel = (modelId?: string): LanguageModelV4 => toLanguageModel(find(modelId, 'languageModel'))
  return Object.assign(languageModel, {
    specificationVersion: 'v4' as const,
    languageModel,
    embeddingModel: (modelId: string) => toEmbeddingModel(find(modelId, 'embeddingModel')),
    imageModel: (modelId: string) => {
      throw new NoSuchModelError({ modelId, modelType: 'imageModel' })
    },
  })
}

function toLanguageModel(backend: Backend): LanguageModelV4 {
  return {
    specificationVersion: 'v4',
    provider: 'facet',
    modelId: backend.model.id,
    supportedUrls: {},
    async doGenerate(options) {
      const { request, warnings } = toRequest(options)
      return { ...(await gather(toParts(backend.chat(request, callOf(options))))), warnings }
    },
    async doStream(options) {
      const { request, warnings } = toRequest(options)
      const parts = toParts(backend.chat(request, callOf(options)))
      // What fails before the first content fails here, as an HTTP error would.
      const first = await parts.next()
      return { stream: toStream([{ type: 'stream-start', warnings }, first.value!], parts) }
    },
  }
}

function callOf({ abortSignal }: { readonly abortSignal?: AbortSignal | undefined }): {
  signal?: AbortSignal
} {
  return abortSignal ? { signal: abortSignal } : {}
}

function toStream(
  head: readonly LanguageModelV4StreamPart[],
  parts: AsyncGenerator<LanguageModelV4StreamPart, void, undefined>,
): ReadableStream<LanguageModelV4StreamPart> {
  const held = [...head]
  return new ReadableStream<LanguageModelV4StreamPart>(
    {
      async pull(control) {
        const next = held.shift()
        if (next) return control.enqueue(next)
        try {
          const { done, value } = await parts.next()
          if (done) control.close()
          else control.enqueue(value)
        } catch (error) {
          // The AI SDK's own way to say that a stream broke; it throws it at its readers.
          control.enqueue({ type: 'error', error })
          control.close()
        }
      },
      async cancel() {
        await parts.return()
      },
    },
    { highWaterMark: 0 },
  )
}

type Result = Omit<LanguageModelV4GenerateResult, 'warnings'>

async function gather(parts: AsyncIterable<LanguageModelV4StreamPart>): Promise<Result> {
  const content: LanguageModelV4Content[] = []
  let text = ''
  let response: Result['response'] = {}
  for await (const part of parts) {
    if (part.type === 'response-metadata') {
      const { type: _, ...metadata } = part
      response = metadata
    }
    if (part.type === 'text-delta') text += part.delta
    if (part.type === 'text-end') content.push({ type: 'text', text })
    if (part.type === 'tool-call') content.push(part)
    if (part.type === 'finish')
      return { content, response, finishReason: part.finishReason, usage: part.usage }
  }
  throw new FacetError('stream_interrupted', 'The answer ended before it was complete.')
}

function toEmbeddingModel(backend: Backend): EmbeddingModelV4 {
  return {
    specificationVersion: 'v4',
    provider: 'facet',
    modelId: backend.model.id,
    maxEmbeddingsPerCall: undefined,
    supportsParallelCalls: true,
    async doEmbed({ values, abortSignal }) {
      if (!backend.embed) {
        throw new FacetError('unsupported', `${backend.name} has no embeddings; ask another backend.`)
      }
      const vectors = await backend.embed(values, callOf({ abortSignal }))
      return { embeddings: vectors.map((vector) => [...vector]), warnings: [] }
    },
  }
}
