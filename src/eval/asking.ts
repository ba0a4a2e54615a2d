/** What all ways of asking a question share: how it is put to a Backend, and what is kept of the answer. */
import { FacetError } from '../errors.ts'
import type { Backend, Message, Prompt } from '../types.ts'
import type { BenchmarkSample } from './benchmark.ts'
import type { Grader } from './task.ts'

/** How choices are decided: by what the model finds most likely, or by the letter that it writes. */
export type ChoiceMethod = 'log-likelihood' | 'generation'

export interface AskOptions {
  readonly backend: Backend
  readonly method: ChoiceMethod
  /** Prompts are sent as a user's message, for models that are tuned to chat. */
  readonly chat: boolean
  readonly graders: ReadonlyMap<string, Grader>
  /** Of questions that are answered with a text. */
  readonly sampling: TextSampling
}

export interface TextSampling {
  /** Answers to each question. */
  readonly samples: number
  readonly temperature: number
  /** Each answer has a seed of its own, drawn by this one. */
  readonly seed: number
}

/** One answer, the likeliest. */
export const GREEDY: TextSampling = { samples: 1, temperature: 0, seed: 0 }

/** What a question's answer adds to its sample. */
export type Found = Pick<
  BenchmarkSample,
  'prompt' | 'choices' | 'answer' | 'extracted' | 'attempts' | 'answers' | 'scores'
>

export function toPrompt(text: string, chat: boolean): Prompt {
  const messages: Message[] = [{ role: 'user', content: text }]
  return chat ? { messages } : { prompt: text }
}

/**
 * A prompt that is too long for the model loses its beginning, as in lm-evaluation-harness, where the Backend counts
 * tokens: those of the answer fit after it.
 */
export async function within<Request extends Prompt & { readonly maxTokens?: number }, Result>(
  request: Request,
  backend: Backend,
  signal: AbortSignal,
  send: (request: Request) => Promise<Result>,
): Promise<Result> {
  try {
    return await send(request)
  } catch (error) {
    const { tokenize, model } = backend
    const known = error instanceof FacetError && error.code === 'context_length_exceeded'
    if (!known || !tokenize || model.contextTokens === undefined || typeof request.prompt !== 'string')
      throw error
    const ids = await tokenize.call(backend, { prompt: request.prompt }, { signal })
    const room = Math.min(request.maxTokens ?? LONGEST_CHOICE, Math.floor(model.contextTokens / 2))
    const [first = 0] = ids
    // The first token tells the model that a text begins.
    return send({ ...request, prompt: [first, ...ids.slice(1 - (model.contextTokens - room))] })
  }
}

/** Tokens that are left for a choice where a prompt is cut. */
const LONGEST_CHOICE = 256
