import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { compare } from '../../src/convert/compare.ts'
import { convert } from '../../src/convert/convert.ts'
import { openInput } from '../../src/convert/input.ts'
import { type LayerWeights, rmsNorm, runLayer } from '../../src/convert/layer.ts'
import { toLogits } from '../../src/convert/likelihoods.ts'
import { embedRows, StreamedWeights } from '../../src/convert/streamed.ts'
import { judge } from '../../src/convert/verdict.ts'
import type { FixtureGolden } from '../engine/golden.ts'
import { byteTokenizer, copyOf, fixture, mapTensors, temporary } from './checkpoints.ts'

const FIXTURES = ['gemma-mha', 'gemma-mqa', 'gemma2', 'gemma3']

let out: string
beforeEach(async () => {
  out = join(await temporary(), 'model')
})

describe('a streamed model', () => {
  it.each(FIXTURES)("has transformers' logits: %s", async (name) => {
    const golden: FixtureGolden = JSON.parse(readFileSync(join(fixture(name), 'golden.json'), 'utf8'))
    const { checkpoint, config } = await openInput(fixture(name))
    const weights = new StreamedWeights(checkpoint, config, () => {})
    const x = await embedRows(checkpoint, config, golden.input_ids)
    for (let layer = 0; layer < config.layers.length; layer++) {
      await runLayer(config, layer, [golden.input_ids.length], x, weights.layer(layer))
    }
    const normed = rmsNorm(x, await weights.norm('model.norm.weight'), config.rmsNormEps)
    const head = await checkpoint.read('model.embed_tokens.weight')
    const logits = toLogits(config, normed, head)
    await checkpoint.close()
    for (const [index, position] of golden.logits_at.entries()) {
      for (const [id, expected] of golden.logits[index]!.entries()) {
        const logit = logits[position * config.vocabSize + id]!
        expect(Math.abs(logit - expected)).toBeLessThan(1e-4)
      }
    }
  })

  it.each(['gemma-mqa', 'gemma3'])('may come a few columns at a time: %s', async (name) => {
    const { checkpoint, config } = await openInput(fixture(name))
    const whole = new StreamedWeights(checkpoint, config, () => {}).layer(0)
    const inParts: LayerWeights = {
      ...whole,
      multiply: (part, x, visit) =>
        whole.multiply(part, x, (y, first) => {
          const columns = y.length / ids.length
          for (let from = 0; from < columns; from += 5) {
            const kept = y.filter((_, at) => at % columns >= from && at % columns < from + 5)
            visit(kept, first + from)
          }
        }),
    }
    const ids = [5, 3, 9, 200, 41, 7]
    const [expected, found] = [
      await embedRows(checkpoint, config, ids),
      await embedRows(checkpoint, config, ids),
    ]
    await runLayer(config, 0, [4, 2], expected, whole)
    await runLayer(config, 0, [4, 2], found, inParts)
    await checkpoint.close()
    expect(found).toEqual(expected)
    expect(found.every(Number.isFinite)).toBe(true)
  })
})

describe('comparing', () => {
  it.each(FIXTURES)('passes at cosine 0.9999 without quantization: %s', async (name) => {
    await convert(fixture(name), out, { quant: 'none' })
    const found = await compare(out, fixture(name))
    expect(judge(found, {})).toMatchObject({ passed: true })
    expect(found.layers.every(({ leastCosine }) => leastCosine > 0.9999)).toBe(true)
    expect(found.overall.kl).toBeLessThan(1e-6)
    expect(found.overall.sameToken).toBe(1)
  })

  it('finds the layer that is wrong', async () => {
    const other = await copyOf('gemma-mqa')
    await mapTensors(other, (tensor, name) =>
      name === 'model.layers.1.mlp.up_proj.weight' ? { ...tensor, bytes: tensor.bytes.fill(0) } : tensor,
    )
    await convert(other, out, { quant: 'none' })
    const found = await compare(out, fixture('gemma-mqa'))
    const verdict = judge(found, {})
    expect(verdict.passed).toBe(false)
    expect(verdict.checks.find(({ limit }) => limit === 'minCosine')?.passed).toBe(false)
    const [first, second] = found.layers
    expect(first!.leastCosine).toBeGreaterThan(0.999999)
    expect(second!.leastCosine).toBeLessThan(0.9999)
  })

  it('judges int8 stricter than int4, and by the limits it is given', async () => {
    const from = await copyOf('gemma-mqa')
    await writeFile(join(from, 'tokenizer.model'), byteTokenizer())
    await convert(from, out)
    const int4 = await compare(out, from, { tokens: 128 })
    expect(int4).toMatchObject({ weights: 'int4', tokens: 128 })
    await convert(from, out, { quant: 'int8', force: true })
    const int8 = await compare(out, from, { tokens: 128 })
    expect(int8.overall.kl).toBeGreaterThan(0)
    expect(int4.overall.kl).toBeGreaterThan(10 * int8.overall.kl)
    expect(int4.overall.meanCosine).toBeLessThan(int8.overall.meanCosine)
    expect(judge(int8, {}).passed).toBe(true)
    const strict = judge(int8, { maxKl: int8.overall.kl / 2 })
    expect(strict.checks.map(({ limit, passed }) => [limit, passed])).toEqual([
      ['maxKl', false],
      ['maxPerplexityPercent', true],
    ])
  })

  it('refuses another checkpoint and texts without a tokenizer', async () => {
    await convert(fixture('gemma-mqa'), out)
    await expect(compare(out, fixture('gemma-mha'))).rejects.toMatchObject({ field: 'against' })
    await expect(compare(out, fixture('gemma-mqa'), { text: 'a.txt' })).rejects.toMatchObject({
      code: 'tokenizer_missing',
    })
  })
})
