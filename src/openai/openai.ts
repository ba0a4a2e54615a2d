/** `gemfacet/openai`: the official package's surface over any Backend; code moves by changing the import. */
import { FacetError } from '../errors.ts'
import type * as ChatTypes from './chat-types.ts'
import * as errors from './errors.ts'
import { Facade } from './facade.ts'
import type {
  ChatCompletion,
  ChatCompletionAssistantMessageParam,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
  ChatCompletionDeveloperMessageParam,
  ChatCompletionMessage,
  ChatCompletionMessageParam,
  ChatCompletionMessageToolCall,
  ChatCompletionRole,
  ChatCompletionSystemMessageParam,
  ChatCompletionTokenLogprob,
  ChatCompletionTool,
  ChatCompletionToolMessageParam,
  ChatCompletionUserMessageParam,
  Completion,
  CompletionCreateParams,
  CompletionCreateParamsNonStreaming,
  CompletionCreateParamsStreaming,
  CompletionUsage,
  CreateEmbeddingResponse,
  Embedding,
  EmbeddingCreateParams,
  Model,
} from './types.ts'

export { FacetError as APIError } from '../errors.ts'
export type { ApiPromise } from './api-promise.ts'
export * from './errors.ts'
export type { Create, ModelList, ModelPage, OpenAIOptions, RequestOptions } from './facade.ts'
export { Stream } from './stream.ts'
export type * from './types.ts'

/**
 * `chat.completions`, `completions`, `embeddings` and `models` of the official client. Errors are
 * FacetErrors, with the official names `status` and `code`, and `OpenAI.APIError` is their class. There are
 * no retries here: give it a router.
 *
 * @throws FacetError invalid_request without a backend or an address
 */
export class OpenAI extends Facade {
  static readonly APIError: typeof FacetError = FacetError
  static readonly APIConnectionError: errors.ErrorKind = errors.APIConnectionError
  static readonly APIConnectionTimeoutError: errors.ErrorKind = errors.APIConnectionTimeoutError
  static readonly APIUserAbortError: errors.ErrorKind = errors.APIUserAbortError
  static readonly AuthenticationError: errors.ErrorKind = errors.AuthenticationError
  static readonly BadRequestError: errors.ErrorKind = errors.BadRequestError
  static readonly ConflictError: errors.ErrorKind = errors.ConflictError
  static readonly InternalServerError: errors.ErrorKind = errors.InternalServerError
  static readonly NotFoundError: errors.ErrorKind = errors.NotFoundError
  static readonly PermissionDeniedError: errors.ErrorKind = errors.PermissionDeniedError
  static readonly RateLimitError: errors.ErrorKind = errors.RateLimitError
  static readonly UnprocessableEntityError: errors.ErrorKind = errors.UnprocessableEntityError
}

/** The types under their official names: `OpenAI.ChatCompletion`, `OpenAI.Chat.Completions.ChatCompletionChunk`. */
export declare namespace OpenAI {
  export type {
    ChatCompletion,
    ChatCompletionAssistantMessageParam,
    ChatCompletionChunk,
    ChatCompletionCreateParams,
    ChatCompletionCreateParamsNonStreaming,
    ChatCompletionCreateParamsStreaming,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionMessage,
    ChatCompletionMessageParam,
    ChatCompletionMessageToolCall,
    ChatCompletionRole,
    ChatCompletionSystemMessageParam,
    ChatCompletionTokenLogprob,
    ChatCompletionTool,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
    ChatTypes as Chat,
    Completion,
    CompletionCreateParams,
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
    CompletionUsage,
    CreateEmbeddingResponse,
    Embedding,
    EmbeddingCreateParams,
    Model,
  }
}

export default OpenAI
