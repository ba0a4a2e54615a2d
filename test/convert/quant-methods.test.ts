import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { compare } from '../../src/convert/compare.ts'
import { type ConvertOptions, convert } from '../../src/convert/convert.ts'
import { inputFactors, quantizeFor } from '../../src/convert/gptq.ts'
import { inspect } from '../../src/convert/inspect.ts'
import { multiply } from '../../src/convert/matmul.ts'
import { dequantize, leastError, quantize } from '../../src/convert/quantize.ts'
import { FacetError } from '../../src/errors.ts'
import { decodeModel, initializerBytes } from '../../src/gemma/onnx.ts'
import { byteTokenizer, copyOf, fixture, temporary } from './checkpoints.ts'

/** Numbers from -1 to 1, the same every time. */
function numbers(count: number, seed: number): Float32Array {
  let state = seed
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

const squares = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0)

let out: string
beforeEach(async () => {
  out = join(await temporary(), 'model')
})

/** A checkpoint with a tokenizer of its own. */
async function checkpoint(): Promise<string> {
  const dir = await copyOf('gemma-mqa')
  await writeFile(join(dir, 'tokenizer.model'), byteTokenizer())
  return dir
}

async function refusal(options: ConvertOptions, from?: string): Promise<FacetError> {
  const error = await convert(from ?? (await checkpoint()), out, options).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(FacetError)
  expect((error as FacetError).message).toMatch(/^[^\n]+\.$/)
  return error as FacetError
}

describe('products', () => {
  it.each([
    [1, 3, 32],
    [2, 4, 64],
    [5, 9, 96],
    [700, 6, 1536],
  ])('of %i tokens and %i rows of %i columns are what they should be', (n, m, k) => {
    const x = numbers(n * k, 1)
    const w = numbers(m * k, 2)
    const y = multiply(x, w, k)
    expect(y).toHaveLength(n * m)
    for (let i = 0; i < n; i += Math.ceil(n / 7)) {
      for (let o = 0; o < m; o++) {
        let exact = 0
        for (let j = 0; j < k; j++) exact += x[i * k + j]! * w[o * k + j]!
        expect(y[i * m + o]).toBeCloseTo(exact, 3)
      }
    }
  })
})

describe('scales of the least error', () => {
  it('never lose more than rounding to the nearest', () => {
    const weights = fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 64, maxLength: 64 })
    fc.assert(
      fc.property(weights, fc.constantFrom(32 as const, 64 as const), (values, size) => {
        const exact = Float32Array.from(values)
        const [plain, searched] = [quantize(exact, 4, size), quantize(exact, 4, size, leastError)].map(
          (blocks) => squares(dequantize(blocks, 4, size), exact),
        )
        expect(searched).toBeLessThanOrEqual(plain! * (1 + 1e-6) + 1e-30)
      }),
    )
  })
})

describe('rounding for inputs', () => {
  it.each([
    [64, 32],
    [128, 64],
    [1088, 32],
  ] as const)('changes products of %i columns in blocks of %i less than rounding alone', (k, size) => {
    // Inputs that hang together, as activations do.
    const mixed = multiply(numbers(300 * 16, 3), numbers(k * 16, 4), 16)
    const x = mixed.map((value, i) => value + 0.1 * (((i * 7919) % 101) / 50 - 1))
    const w = numbers(6 * k, 5)
    const exact = multiply(x, w, k)
    const loss = (rows: Float32Array): number => squares(multiply(x, rows, k), exact)
    const rounded = loss(dequantize(quantize(w, 4, size), 4, size))
    const fitted = quantizeFor(inputFactors(x, k, size), w.slice(), 4, size)
    expect(loss(dequantize(fitted, 4, size))).toBeLessThan(rounded / 3)
  })

  it('leaves each weight nearer to what it was, the more it is damped', () => {
    const x = multiply(numbers(300 * 16, 3), numbers(64 * 16, 4), 16)
    const w = numbers(64 * 64, 5)
    const [little, much] = [0.01, 1].map((damping) => {
      const blocks = quantizeFor(inputFactors(x, 64, 32, damping), w.slice(), 4, 32)
      return squares(dequantize(blocks, 4), w)
    })
    expect(much!).toBeLessThan(little! * 0.9)
  })

  it('stands inputs that are always zero', () => {
    const blocks = quantizeFor(inputFactors(new Float32Array(64 * 8), 64, 32), numbers(128, 6), 4, 32)
    expect(dequantize(blocks, 4).every(Number.isFinite)).toBe(true)
  })
})

describe('converting with a calibration text', () => {
  it('says nearer to what the checkpoint says, and the same bytes again', async () => {
    const from = await checkpoint()
    const calibration = join(await temporary(), 'calibration.txt')
    await writeFile(calibration, 'The quick brown fox jumps over the lazy dog, 0123456789 times. '.repeat(20))
    const kl = new Map<string, number>()
    for (const method of ['rtn', 'mse', 'gptq'] as const) {
      const { manifest } = await convert(from, out, {
        method,
        force: true,
        ...(method === 'gptq' && { calibration }),
      })
      expect(manifest.quantization?.method).toBe(method === 'rtn' ? undefined : method)
      const { overall } = await compare(out, from, { text: calibration, tokens: 256 })
      kl.set(method, overall.kl)
    }
    expect(kl.get('gptq')!).toBeLessThan(kl.get('mse')!)
    expect(kl.get('mse')!).toBeLessThan(kl.get('rtn')!)
    const bytes = await readFile(join(out, 'model.onnx_data'))
    await convert(from, out, { method: 'gptq', calibration, force: true })
    expect(await readFile(join(out, 'model.onnx_data'))).toEqual(bytes)
  })

  it('reads conversations and texts', async () => {
    const from = await checkpoint()
    const path = join(await temporary(), 'calibration.jsonl')
    const talk = [
      { role: 'user', content: 'How do I list files? '.repeat(20) },
      { role: 'assistant', content: 'With ls.' },
    ]
    await writeFile(path, `${JSON.stringify({ messages: talk })}\n\n{"text":"${'a text '.repeat(60)}"}\n`)
    const { manifest } = await convert(from, out, { method: 'gptq', calibration: path })
    expect(manifest.quantization?.method).toBe('gptq')
  })

  it.each([
    ['empty.txt', '', 'is empty; give a longer text'],
    ['blank.jsonl', '\n\n', 'is empty; give a longer text'],
    ['short.txt', 'Only a few words.', 'has 24 tokens, and fewer than 512 say too little'],
    ['wrong.jsonl', '{"text":"a"}\n{"words":1}', 'line 2 must be {"text"} or {"messages"}'],
    ['broken.jsonl', '{"text"', 'line 1 must be {"text"} or {"messages"}'],
    ['latin.txt', Buffer.from([0x66, 0xfc, 0x72]), 'is not UTF-8; save it as UTF-8'],
  ])('refuses %s', async (name, content, message) => {
    const path = join(await temporary(), name)
    await writeFile(path, content)
    const error = await refusal({ method: 'gptq', calibration: path })
    expect(error).toMatchObject({ code: 'invalid_request', field: 'calibration' })
    expect(error.message).toContain(message)
  })

  it('needs the file and a tokenizer', async () => {
    const missing = await refusal({ method: 'gptq', calibration: join(out, 'none.txt') })
    expect(missing.message).toContain('cannot be read (ENOENT)')
    const error = await refusal({ method: 'gptq' }, fixture('gemma-mqa'))
    expect(error).toMatchObject({ code: 'tokenizer_missing', field: 'tokenizer' })
  })
})

describe('sensitive parts and groups', () => {
  it('keeps 8 bits where it is told to', async () => {
    const { manifest } = await convert(fixture('gemma-mqa'), out, {
      sensitive: ['embedding=8', 'layers.1.mlp=8', 'self_attn.o_proj=8'],
      group: 64,
    })
    expect(manifest.quantization).toMatchObject({
      bits: 4,
      blockSize: 64,
      int8: [
        'model.embed_tokens.weight',
        'model.layers.0.self_attn.o_proj.weight',
        'model.layers.1.self_attn.o_proj.weight',
        'model.layers.1.mlp.gate_proj.weight',
        'model.layers.1.mlp.up_proj.weight',
        'model.layers.1.mlp.down_proj.weight',
        'model.layers.2.self_attn.o_proj.weight',
      ],
    })
    const { initializers } = decodeModel(await readFile(join(out, 'model.onnx')))
    const bytesOf = (name: string): number => {
      const { type, dims } = initializers.find((each) => each.name === name)!
      return initializerBytes(type, dims)
    }
    expect(bytesOf('model.embed_tokens.weight_quant')).toBe(512 * 64)
    expect(bytesOf('model.embed_tokens.weight_scale')).toBe(512 * 2)
    expect(bytesOf('model.layers.0.mlp.up_proj.weight_quant')).toBe((256 * 64) / 2)
    expect((await compare(out, fixture('gemma-mqa'))).weights).toBe('int4 and int8')
    expect((await inspect(out)).weights).toBe('int4 and int8')
  })

  it.each([
    [{ sensitive: ['head=8'] }, 'sensitive', 'names no matrix of this model'],
    [{ sensitive: ['layers.9=8'] }, 'sensitive', 'names no matrix of this model'],
    [{ sensitive: ['embedding=8'], quant: 'int8' }, 'sensitive', 'is for --quant int4'],
    [{ method: 'gptq', quant: 'none' }, 'method', 'is for --quant int4'],
    [{ group: 64, quant: 'none' }, 'group', 'is for int4 and int8'],
    [{ calibration: 'text' }, 'calibration', 'is for --method gptq'],
  ] as const)('refuses %o', async (options, field, message) => {
    const error = await refusal(options)
    expect(error).toMatchObject({ code: 'invalid_request', field })
    expect(error.message).toContain(message)
  })
})

describe('a tokenizer', () => {
  it('of another model is refused', async () => {
    const from = await copyOf('gemma-mqa')
    const sample = new URL('../../models/facet-tldr-24m/tokenizer.model', import.meta.url)
    await writeFile(join(from, 'tokenizer.model'), await readFile(sample))
    const error = await refusal({}, from)
    expect(error).toMatchObject({ code: 'invalid_checkpoint', field: 'tokenizer.model' })
    expect(error.message).toBe(
      'tokenizer.model has 8192 tokens, but the embedding has 512 rows; take both from the same model.',
    )
  })
})
