/** POST /v1/embeddings: what texts are near to each other. Experimental: Gemma was not tuned for it. */
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'
import type { Exchange } from './exchange.ts'
import {
  about,
  choose,
  closed,
  listOf,
  mapped,
  nonEmptyText,
  oneOf,
  optional,
  readFields,
  type Schema,
} from './field.ts'

interface EmbeddingFields {
  readonly model: string | undefined
  readonly input: readonly string[]
  readonly encoding_format: 'float' | 'base64' | undefined
}

const MOST_INPUTS = 256

const oneText = mapped(nonEmptyText, (text) => [text])
const texts = listOf(nonEmptyText, 'a string or a list of strings', 1, MOST_INPUTS)

export const embeddingSchema: Schema<EmbeddingFields> = closed(
  {
    model: about("Default: the server's first.", optional(nonEmptyText)),
    input: choose<readonly string[]>([oneText, texts], (input) =>
      typeof input === 'string' ? oneText : texts,
    ),
    encoding_format: about(
      'Numbers, or their float32 bytes (little-endian) in base64.',
      optional(oneOf(['float', 'base64'])),
    ),
  },
  { ignored: ['user'], refused: { dimensions: [] } },
)

export function toEmbeddingCall(json: unknown): EmbeddingFields {
  return readFields(embeddingSchema, json)
}

/**
 * @param exchange notes the tokens used
 * @throws FacetError unsupported, and what the backend throws
 */
export async function toEmbeddings(
  { input, encoding_format: format = 'float' }: EmbeddingFields,
  backend: Backend,
  signal: AbortSignal,
  exchange?: Exchange,
): Promise<Response> {
  if (!backend.embed) {
    throw new FacetError(
      'unsupported',
      `${backend.name} cannot give embeddings; they need the engine wasm or reference.`,
      { field: 'model' },
    )
  }
  const vectors = await backend.embed(input, { signal })
  const tokens = await countTokens(input, backend, signal)
  exchange?.begin().spend({ promptTokens: tokens, completionTokens: 0 })
  const body = {
    object: 'list',
    model: backend.model.id,
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: format === 'base64' ? toBase64(vector) : Array.from(vector),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  }
  return Response.json(body, { headers: { 'facet-experimental': 'embeddings' } })
}

/** Where the backend does not count, a token is about four characters of English. */
async function countTokens(texts: readonly string[], backend: Backend, signal: AbortSignal): Promise<number> {
  let tokens = 0
  for (const text of texts) {
    tokens += (await backend.tokenize?.({ prompt: text }, { signal }))?.length ?? Math.ceil(text.length / 4)
  }
  return tokens
}

function toBase64(vector: Float32Array): string {
  const bytes = new Uint8Array(vector.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [i, value] of vector.entries()) view.setFloat32(i * 4, value, true)
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
}
