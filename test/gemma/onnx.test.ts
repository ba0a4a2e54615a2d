import fc from 'fast-check'
import * as ort from 'onnxruntime-web'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { decodeModel, encodeModel, type OnnxModel } from '../../src/gemma/onnx.ts'

ort.env.wasm.numThreads = 1

const value = { type: 'float32', dims: ['batch', 2] } as const
const MODEL: OnnxModel = {
  irVersion: 10,
  producer: 'test',
  opsets: { '': 21, 'com.microsoft': 1 },
  name: 'scaled',
  nodes: [
    { name: 'mul', opType: 'Mul', domain: '', inputs: ['x', 'w'], outputs: ['m'], attributes: {} },
    {
      name: 'y',
      opType: 'Transpose',
      domain: '',
      inputs: ['m'],
      outputs: ['y'],
      attributes: { perm: { type: 'ints', value: [1, 0] } },
    },
    {
      name: 'z',
      opType: 'QuickGelu',
      domain: 'com.microsoft',
      inputs: ['y'],
      outputs: ['z'],
      attributes: { alpha: { type: 'float', value: 0.5 } },
    },
  ],
  initializers: [
    { name: 'w', type: 'float32', dims: [2], data: { location: 'weights.bin', offset: 4, length: 8 } },
    { name: 'unused', type: 'int64', dims: [], data: new Uint8Array(8) },
  ],
  inputs: [{ name: 'x', ...value }],
  outputs: [
    { name: 'y', type: 'float32', dims: [2, 'batch'] },
    { name: 'z', type: 'float32', dims: [2, 'batch'] },
  ],
}

const decodeOr = (bytes: Uint8Array): OnnxModel | FacetError => {
  try {
    return decodeModel(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    expect((error as FacetError).code).toBe('invalid_model')
    return error as FacetError
  }
}

const withTensor = (change: object): OnnxModel => ({
  ...MODEL,
  initializers: [{ ...MODEL.initializers[0]!, ...change }],
})

describe('an ONNX model', () => {
  it('comes back from its bytes unchanged', () => {
    expect(decodeModel(encodeModel(MODEL))).toEqual(MODEL)
  })

  it('is what onnxruntime reads', async () => {
    const data = new Uint8Array(Float32Array.of(9, 2, 3).buffer)
    const session = await ort.InferenceSession.create(encodeModel(MODEL), {
      externalData: [{ path: 'weights.bin', data }],
      logSeverityLevel: 3,
    })
    const { y } = await session.run({ x: new ort.Tensor('float32', [1, 10, 2, 20], [2, 2]) })
    expect([...(y!.data as Float32Array)]).toEqual([2, 4, 30, 60])
    await session.release()
  })

  it('is refused when an initializer lies about its data', () => {
    const lies: [OnnxModel, string][] = [
      [withTensor({ dims: [3] }), 'w.external_data.length is 8, but type and dims make it 12'],
      [withTensor({ dims: [-2] }), 'w.dims must not be negative'],
      [withTensor({ dims: [2 ** 52, 2 ** 52] }), 'w.external_data.offset is out of range'],
      [
        withTensor({ data: { location: '../w', offset: 0, length: 8 } }),
        'w.external_data.location must name a file',
      ],
      [
        withTensor({ data: { location: '/w', offset: 0, length: 8 } }),
        'w.external_data.location must name a file',
      ],
      [
        withTensor({ data: { location: 'w', offset: -1, length: 8 } }),
        'w.external_data.offset is out of range',
      ],
      [withTensor({ data: new Uint8Array(7) }), 'w.raw_data must be 8 bytes, but is 7'],
      [{ ...MODEL, initializers: [MODEL.initializers[0]!, MODEL.initializers[0]!] }, 'w is there twice'],
    ]
    for (const [model, message] of lies) expect(() => decodeModel(encodeModel(model))).toThrow(message)
    expect(() => decodeModel(new Uint8Array())).toThrow('model.onnx: graph is missing')
    expect(() => decodeModel(new TextEncoder().encode('not onnx'))).toThrow('not an ONNX model')
  })

  it('is decoded from any bytes, or refused with a FacetError', () => {
    const whole = encodeModel(MODEL)
    const edit = fc.tuple(fc.nat(whole.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 8 }), fc.nat(whole.length), (edits, length) => {
        const bytes = whole.slice()
        for (const [at, byte] of edits) bytes[at] = byte
        decodeOr(bytes)
        decodeOr(bytes.subarray(0, length))
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void decodeOr(bytes)),
      { numRuns: 2000 },
    )
  })

  it('survives any names, attributes and dimensions', () => {
    const whole = fc.maxSafeInteger()
    const attribute = fc.oneof(
      fc.record({ type: fc.constant('int' as const), value: whole }),
      fc.record({ type: fc.constant('float' as const), value: fc.float({ noNaN: true }) }),
      fc.record({ type: fc.constant('string' as const), value: fc.string({ unit: 'grapheme' }) }),
      fc.record({ type: fc.constant('ints' as const), value: fc.array(whole) }),
    )
    const node = fc.record({
      name: fc.string({ unit: 'grapheme' }),
      opType: fc.string(),
      domain: fc.string(),
      inputs: fc.array(fc.string()),
      outputs: fc.array(fc.string()),
      attributes: fc.dictionary(fc.string(), attribute),
    })
    fc.assert(
      fc.property(fc.array(node), fc.array(fc.oneof(fc.nat(), fc.string())), (nodes, dims) => {
        const model = { ...MODEL, nodes, inputs: [{ name: 'x', type: 'int64' as const, dims }] }
        expect(decodeModel(encodeModel(model))).toEqual(model)
      }),
    )
  })
})
