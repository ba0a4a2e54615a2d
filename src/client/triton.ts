/** Triton's generate extension before a TensorRT-LLM model: a prompt in, the whole answer out. */
import { FacetError } from '../errors.ts'
import type { ClientOptions } from './options.ts'
import { DEFAULT_MAX_TOKENS, Document, generating, wholeText } from './translation.ts'
import type { Json } from './wire.ts'

/** Fields of OpenAI's API, and inputs of TensorRT-LLM's model that mean the same. */
const INPUTS: Readonly<Record<string, string>> = {
  temperature: 'temperature',
  top_k: 'top_k',
  top_p: 'top_p',
  seed: 'random_seed',
  repetition_penalty: 'repetition_penalty',
  presence_penalty: 'presence_penalty',
}

/** Some of these other versions know; this one has them under no name that all share. */
const REFUSED: Readonly<Record<string, string>> = {
  min_p: 'minP',
  frequency_penalty: 'frequencyPenalty',
  logit_bias: 'logitBias',
  stop: 'stop',
  logprobs: 'logprobs',
  tools: 'tools',
  response_format: 'responseFormat',
}

/** @param options baseURL names the model: `http://HOST/v2/models/ensemble`. Answers come whole. */
export function triton(options: ClientOptions): ClientOptions {
  return generating(options, {
    server: 'Triton',
    refused: REFUSED,
    toRequest: (prompt, body) => ({
      text_input: prompt,
      max_tokens: body.max_tokens ?? DEFAULT_MAX_TOKENS,
      // Without a default in its older models, which refuse requests that leave them out.
      bad_words: '',
      stop_words: '',
      ...Object.fromEntries(
        Object.entries(INPUTS).flatMap(([field, input]) =>
          body[field] === undefined ? [] : [[input, body[field]]],
        ),
      ),
    }),
    toAnswer: () => new Answer(bad),
  })
}

/** `{"model_name": …, "text_output": text}`. */
class Answer extends Document {
  protected override read({ text_output: text }: Json): Json[] {
    if (typeof text !== 'string') throw bad('no text_output that is text')
    return wholeText(text)
  }
}

function bad(what: string): FacetError {
  return new FacetError('bad_response', `Triton sent ${what}; is a TensorRT-LLM model at this address?`)
}
