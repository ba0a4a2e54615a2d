/** Runs a converted directory on onnxruntime-web's wasm, straight from its files. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'

ort.env.wasm.numThreads = 1

export interface Session extends AsyncDisposable {
  /** Logits (keep or all positions, vocab) of these ids from an empty cache; keep 0 is all. */
  logits(ids: readonly number[], keep?: number): Promise<Float32Array>
  /** The most likely ids, until one of eosIds (kept) or this many. */
  greedy(ids: readonly number[], count: number, eosIds?: readonly number[]): Promise<number[]>
}

export async function openSession(dir: string): Promise<Session> {
  const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'))
  const session = await ort.InferenceSession.create(await readFile(join(dir, 'model.onnx')), {
    executionProviders: ['wasm'],
    externalData: [{ path: 'model.onnx_data', data: await readFile(join(dir, 'model.onnx_data')) }],
    logSeverityLevel: 3,
  })
  const caches = session.inputNames.filter((name) => name.startsWith('past_key_values.'))
  const empty = () => new ort.Tensor('float32', [], [1, config.num_key_value_heads, 0, config.head_dim])
  const int64 = (values: readonly number[], dims: readonly number[]) =>
    new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims)

  let past: Record<string, ort.Tensor> = {}
  const step = async (ids: readonly number[], length: number, keep: number): Promise<Float32Array> => {
    const outputs = await session.run({
      ...past,
      input_ids: int64(ids, [1, ids.length]),
      attention_mask: int64(Array(length).fill(1), [1, length]),
      num_logits_to_keep: int64([keep], []),
    })
    past = Object.fromEntries(
      caches.map((name) => [name, outputs[name.replace('past_key_values', 'present')]!]),
    )
    return outputs.logits!.data as Float32Array
  }
  const reset = () => {
    past = Object.fromEntries(caches.map((name) => [name, empty()]))
  }
  return {
    logits(ids, keep = 0) {
      reset()
      return step(ids, ids.length, keep)
    },
    async greedy(ids, count, eosIds = []) {
      reset()
      const answer: number[] = []
      let input = ids
      while (answer.length < count) {
        const logits = await step(input, ids.length + answer.length, 1)
        const id = logits.indexOf(logits.reduce((most, logit) => Math.max(most, logit)))
        answer.push(id)
        if (eosIds.includes(id)) break
        input = [id]
      }
      return answer
    },
    [Symbol.asyncDispose]: () => session.release(),
  }
}
