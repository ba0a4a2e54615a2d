/** What both of onnxruntime-web's providers have in common: the session, a step's inputs, errors. */
import { FacetError } from '../errors.ts'
import { GRAPH_FILE } from '../gemma/manifest.ts'
import type { FixedKvCache } from './kv-cache.ts'
import type { SessionFiles } from './ort-floats.ts'

export type Ort = typeof import('onnxruntime-web')
export type Session = import('onnxruntime-web').InferenceSession
export type Tensor = import('onnxruntime-web').Tensor

/** @throws FacetError unsupported when it is not installed */
export async function importOrt(load: () => Promise<Ort>): Promise<Ort> {
  try {
    const ort = await load()
    ort.env.logLevel = 'error'
    return ort
  } catch (cause) {
    throw new FacetError('unsupported', 'This needs onnxruntime-web; run: npm install onnxruntime-web', {
      cause,
    })
  }
}

/** @throws FacetError invalid_model, out_of_memory */
export async function openSession(
  ort: Ort,
  provider: 'wasm' | 'webgpu',
  { graph, data }: SessionFiles,
): Promise<Session> {
  try {
    return await ort.InferenceSession.create(graph, {
      executionProviders: [provider],
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      externalData: [...data].map(([path, bytes]) => ({ path, data: bytes })),
    })
  } catch (cause) {
    throw ortError(cause, 'invalid_model', `${GRAPH_FILE} could not be loaded`)
  }
}

/** Two runs of one session at a time are an error in onnxruntime-web: each waits for the one before. */
export function takingTurns(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work, work)
    last = result
    return result
  }
}

/** Every input of a step but the cache. */
export function toFeeds(
  ort: Ort,
  cache: FixedKvCache,
  tokens: readonly number[],
  logits: number,
): Record<string, Tensor> {
  const total = cache.length + tokens.length
  const int64 = (values: BigInt64Array, dims: number[]): Tensor => new ort.Tensor('int64', values, dims)
  return {
    input_ids: int64(BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
    attention_mask: int64(new BigInt64Array(total).fill(1n), [1, total]),
    num_logits_to_keep: int64(BigInt64Array.of(BigInt(logits)), []),
  }
}

/** onnxruntime-web throws texts, and bare numbers when its WebAssembly runs out of memory. */
export function ortError(cause: unknown, code: 'internal' | 'invalid_model', what: string): FacetError {
  const text = cause instanceof Error ? cause.message : String(cause)
  if (/^\d+$/.test(text) || /out of memory|bad_alloc|allocat/i.test(text)) {
    return new FacetError(
      'out_of_memory',
      `${what}: WebAssembly has no more memory than 4 GB; use a smaller model or fewer contextTokens.`,
      { cause },
    )
  }
  return new FacetError(code, `${what} by onnxruntime-web: ${text.replaceAll(/\s+/g, ' ')}`, { cause })
}
