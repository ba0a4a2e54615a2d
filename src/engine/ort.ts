/** Gemma on onnxruntime-web's WebAssembly provider: the portable graph, on the model file as it is. */
import type { GemmaConfig } from '../gemma/config.ts'
import { DATA_FILE } from '../gemma/manifest.ts'
import { type CheckedSlice, checkedBatch } from './batch.ts'
import type { Graph, KvCache, Slice } from './graph.ts'
import { HostKvCache } from './kv-cache.ts'
import type { ModelFile } from './model-file.ts'
import {
  importOrt,
  type Ort,
  openSession,
  ortError,
  type Session,
  type Tensor,
  takingTurns,
  toFeeds,
} from './ort-session.ts'

const MOST_THREADS = 4

/**
 * Opens a session on the model. The bytes of the file are not needed afterwards.
 *
 * @throws FacetError unsupported (onnxruntime-web is not installed), invalid_model, out_of_memory
 */
export async function createOrtGraph(model: ModelFile): Promise<Graph> {
  const { config } = model
  const ort = await importOrt(() => import('onnxruntime-web'))
  ort.env.wasm.numThreads = threads()
  const { graph, data } = model
  const session = await openSession(ort, 'wasm', { graph, data: new Map([[DATA_FILE, data]]) })
  const inTurn = takingTurns()
  return {
    config,
    name: 'onnxruntime-web wasm',
    open: (capacity: number): KvCache => new HostKvCache(config, capacity),
    step: (batch: readonly Slice[]): Promise<Float32Array[]> =>
      inTurn(async () => {
        const out: Float32Array[] = []
        for (const slice of checkedBatch(batch, config, HostKvCache))
          out.push(await run(ort, session, slice, config))
        return out
      }),
    dispose: (): Promise<void> => inTurn(() => session.release()),
  }
}

/** One sequence: feeds the filled part of its cache, keeps the new rows, gives the logits (n, vocabSize). */
async function run(
  ort: Ort,
  session: Session,
  { cache, tokens, logits }: CheckedSlice<HostKvCache>,
  shape: Shape,
): Promise<Float32Array> {
  const feeds = toFeeds(ort, cache, tokens, logits)
  for (const [name, rows] of caches(cache)) feeds[`past_key_values.${name}`] = prefix(ort, rows, cache, shape)
  let results: Awaited<ReturnType<Session['run']>>
  try {
    results = await session.run(feeds)
  } catch (cause) {
    throw ortError(cause, 'internal', 'A step could not be computed')
  }
  for (const [name, rows] of caches(cache)) {
    keepNew(results[`present.${name}`]!.data as Float32Array, rows, cache, shape, tokens.length)
  }
  cache.advance(tokens.length)
  return results.logits!.data as Float32Array
}

/** Every cached tensor under the end of its name in the graph. */
function* caches(cache: HostKvCache): Generator<readonly [string, Float32Array]> {
  for (const [layer, keys] of cache.keys.entries()) {
    yield [`${layer}.key`, keys]
    yield [`${layer}.value`, cache.values[layer]!]
  }
}

type Shape = Pick<GemmaConfig, 'kvHeads' | 'headDim'>

/** The filled positions as a tensor (1, kvHeads, length, headDim). With one KV head they are a view. */
function prefix(ort: Ort, rows: Float32Array, cache: HostKvCache, { kvHeads, headDim }: Shape): Tensor {
  const { length, capacity } = cache
  const filled = rows.subarray(0, length * headDim)
  const dims = [1, kvHeads, length, headDim]
  if (kvHeads === 1) return new ort.Tensor('float32', filled, dims)
  const packed = new Float32Array(kvHeads * length * headDim)
  for (let head = 0; head < kvHeads; head++) {
    const start = head * capacity * headDim
    packed.set(rows.subarray(start, start + length * headDim), head * length * headDim)
  }
  return new ort.Tensor('float32', packed, dims)
}

/** Copies the last `count` positions of present (1, kvHeads, length + count, headDim) into the cache. */
function keepNew(
  present: Float32Array,
  rows: Float32Array,
  { length, capacity }: HostKvCache,
  { kvHeads, headDim }: Shape,
  count: number,
): void {
  for (let head = 0; head < kvHeads; head++) {
    const from = (head * (length + count) + length) * headDim
    rows.set(present.subarray(from, from + count * headDim), (head * capacity + length) * headDim)
  }
}

/**
 * Half of the cores, at most four, as onnxruntime-web would choose: its threads spin while they wait, so
 * that on busy cores more of them make every step several times slower. WebAssembly threads need
 * SharedArrayBuffer, which browsers give only to isolated pages.
 */
function threads(): number {
  const isolated = globalThis.crossOriginIsolated ?? true
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1
  if (!isolated || typeof SharedArrayBuffer !== 'function') return 1
  return Math.min(Math.ceil(cores / 2), MOST_THREADS)
}
