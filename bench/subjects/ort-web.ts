/** onnxruntime-web's WebAssembly provider on the same model file, its caches handed from run to run. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import { configFrom } from '../../src/gemma/config.ts'
import { argument, serveSubject, timed } from '../subject.ts'

const directory = argument(0)
const config = configFrom(JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')))
const { kvHeads, headDim, vocabSize } = config
let session: ort.InferenceSession

const caches = config.layers.flatMap((_, layer) => [`${layer}.key`, `${layer}.value`])

serveSubject({
  load: async () => [
    await timed(async () => {
      ort.env.wasm.numThreads = availableParallelism()
      session = await ort.InferenceSession.create(join(directory, 'model.onnx'), {
        executionProviders: ['wasm'],
        externalData: [{ path: 'model.onnx_data', data: join(directory, 'model.onnx_data') }],
        logSeverityLevel: 3,
      })
    }),
  ],
  /** From caches of `context` random positions: filling them would take minutes and change nothing. */
  decode: async (context, steps) => {
    const values = Float32Array.from({ length: kvHeads * context! * headDim }, () => Math.random() - 0.5)
    const dims = [1, kvHeads, context!, headDim]
    let past: Map<string, ort.Tensor> = new Map(
      caches.map((name) => [name, new ort.Tensor('float32', values, dims)]),
    )
    let token = 300
    const samples: number[] = []
    for (let step = 0; step < steps!; step++) {
      const total = context! + step + 1
      const feeds: Record<string, ort.Tensor> = {
        input_ids: new ort.Tensor('int64', BigInt64Array.of(BigInt(token)), [1, 1]),
        attention_mask: new ort.Tensor('int64', new BigInt64Array(total).fill(1n), [1, total]),
        num_logits_to_keep: new ort.Tensor('int64', BigInt64Array.of(1n), []),
      }
      for (const [name, tensor] of past) feeds[`past_key_values.${name}`] = tensor
      samples.push(
        await timed(async () => {
          const results = await session.run(feeds)
          past = new Map(caches.map((name) => [name, results[`present.${name}`] as ort.Tensor]))
          const logits = results.logits!.data as Float32Array
          token = 0
          for (let i = 1; i < vocabSize; i++) if (logits[i]! > logits[token]!) token = i
        }),
      )
    }
    return samples
  },
})
