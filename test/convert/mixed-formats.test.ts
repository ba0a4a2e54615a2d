import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type ConvertOptions, convert } from '../../src/convert/convert.ts'
import { exportModel } from '../../src/convert/export.ts'
import { openInput } from '../../src/convert/input.ts'
import { openWithoutData } from '../../src/engine/model-file.ts'
import { filesFromDirectory } from '../../src/engine/node.ts'
import { createReference } from '../../src/engine/reference.ts'
import { createWasmGraph } from '../../src/engine/wasm/graph.ts'
import { planGpu } from '../../src/engine/webgpu/plan.ts'
import { DATA_FILE } from '../../src/gemma/manifest.ts'
import { agreement, mixedSteps, referenceParts } from '../engine/agreement.ts'
import { byteTokenizer, copyOf, temporary } from './checkpoints.ts'
import { openSession } from './onnx-session.ts'

async function converted(options: ConvertOptions): Promise<string> {
  const from = await copyOf('gemma-mqa')
  await writeFile(join(from, 'tokenizer.model'), byteTokenizer())
  const out = join(await temporary(), 'model')
  await convert(from, out, options)
  return out
}

const FORMATS: readonly ConvertOptions[] = [
  { group: 64 },
  { quant: 'int8', group: 64 },
  { sensitive: ['embedding=8', 'layers.1.mlp=8'] },
  { group: 64, method: 'mse', sensitive: ['embedding=8'] },
]

describe('a model in blocks of 64, or with parts in 8 bits', () => {
  it.each(FORMATS)('runs on the WASM kernels: %o', async (options) => {
    const model = await openWithoutData(filesFromDirectory(await converted(options)))
    const graph = await createWasmGraph({ model, sequences: 3, contextTokens: 128, cacheBits: 32 })
    const { config, weights } = await referenceParts(model)
    const reference = createReference(config, weights, { activationBits: 8 })
    expect(await agreement(graph, reference, mixedSteps(config.vocabSize))).toBeGreaterThan(0.999)
    await graph.dispose()
  })

  it.each(FORMATS)('runs on onnxruntime-web: %o', async (options) => {
    const dir = await converted(options)
    const model = await openWithoutData(filesFromDirectory(dir))
    const { config, weights } = await referenceParts(model)
    const reference = createReference(config, weights)
    const tokens = [2, 16, 53, 90, 127, 164]
    const cache = reference.open(16)
    const [expected] = await reference.step([{ cache, tokens }])
    await using session = await openSession(dir)
    const logits = await session.logits(tokens, 1)
    for (const [id, logit] of expected!.entries()) expect(Math.abs(logits[id]! - logit)).toBeLessThan(1e-3)
  })

  it.each(FORMATS)('takes on a GPU what its file takes: %o', async (options) => {
    const { config, manifest } = await openWithoutData(filesFromDirectory(await converted(options)))
    const sizes = { sequences: 1, contextTokens: 128, bindingBytes: 2 ** 27 }
    const { weightBytes } = planGpu(config, manifest, sizes)
    const { sizeBytes } = manifest.files.find(({ path }) => path === DATA_FILE)!
    const angles = config.contextTokens * config.headDim * 4
    expect(Math.abs(weightBytes + angles - sizeBytes)).toBeLessThan(4096)
  })

  it.each([
    [{ quantization: null }, 'as f32'],
    [{ quantization: { bits: 4, blockSize: 128, scheme: 'symmetric' } }, 'in blocks of 128'],
  ] as const)(
    'is refused by the WebGPU kernels in other formats, with what runs it: %o',
    async (other, said) => {
      const { config, manifest } = await openWithoutData(filesFromDirectory(await converted({})))
      const sizes = { sequences: 1, contextTokens: 128, bindingBytes: 2 ** 27 }
      const plan = () => planGpu(config, { ...manifest, ...other }, sizes)
      expect(plan).toThrow(`${said}, and the WebGPU kernels need 4 or 8 bits in blocks of 32 or 64`)
      expect(plan).toThrow('use --engine wasm; or use --engine ort')
    },
  )

  it('is read again as it was written', async () => {
    const dir = await converted({ group: 64, sensitive: ['embedding=8'] })
    const again = join(await temporary(), 'again')
    await exportModel(dir, again, { dtype: 'f32' })
    const model = await openWithoutData(filesFromDirectory(dir))
    const { weights } = await referenceParts(model)
    const { checkpoint } = await openInput(again)
    for (const name of ['model.embed_tokens.weight', 'model.layers.0.mlp.down_proj.weight']) {
      expect(await checkpoint.read(name)).toEqual(weights.tensor(name))
    }
    await checkpoint.close()
  })
})
