import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { File, Group, ready } from 'h5wasm/node'
import { beforeAll, describe, expect, it } from 'vitest'
import { convert } from '../../src/convert/convert.ts'
import { readHdf5 } from '../../src/convert/hdf5.ts'
import { openInput } from '../../src/convert/input.ts'
import { openCheckpoint } from '../../src/convert/safetensors.ts'
import { FacetError } from '../../src/errors.ts'
import { directory, fixture, inMemory, temporary } from './checkpoints.ts'

const HEADS = 4
const HEAD_DIM = 32
const HIDDEN = 64

const KERAS_CONFIG = {
  module: 'keras_hub.src.models.gemma.gemma_backbone',
  class_name: 'GemmaBackbone',
  config: {
    vocabulary_size: 512,
    num_layers: 3,
    num_query_heads: HEADS,
    num_key_value_heads: 1,
    hidden_dim: HIDDEN,
    intermediate_dim: 512,
    head_dim: HEAD_DIM,
    layer_norm_epsilon: 1e-6,
  },
}

const parts: Readonly<Record<string, string>> = {
  'self_attn.q_proj': 'attention/query_dense',
  'self_attn.k_proj': 'attention/key_dense',
  'self_attn.v_proj': 'attention/value_dense',
  'self_attn.o_proj': 'attention/output_dense',
  'mlp.gate_proj': 'gating_ffw',
  'mlp.up_proj': 'gating_ffw_2',
  'mlp.down_proj': 'ffw_linear',
  input_layernorm: 'pre_attention_norm',
  post_attention_layernorm: 'pre_ffw_norm',
}

/** A tensor of Hugging Face's the way KerasHub keeps it, by the rule of its own converter. */
function toKeras(
  name: string,
  shape: readonly number[],
  values: Float32Array,
): { path: string; shape: number[]; values: Float32Array } {
  if (name.includes('embed')) return { path: 'layers/reversible_embedding/vars/0', shape: [...shape], values }
  if (name === 'model.norm.weight')
    return { path: 'layers/rms_normalization/vars/0', shape: [...shape], values }
  const [, layer, part] = /layers\.(\d+)\.(.+)\.weight/.exec(name)!
  const path = `layers/gemma_decoder_block${layer === '0' ? '' : `_${layer}`}/${parts[part!]}/vars/0`
  const [rows, columns] = shape as [number, number?]
  if (columns === undefined) return { path, shape: [rows], values }
  const out = new Float32Array(values.length)
  const perHead = /[qkv]_proj/.test(name)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [head, lane] = [Math.floor(row / HEAD_DIM), row % HEAD_DIM]
      const to = perHead ? head * columns * HEAD_DIM + column * HEAD_DIM + lane : column * rows + row
      out[to] = values[row * columns + column]!
    }
  }
  if (perHead) return { path, shape: [rows / HEAD_DIM, columns, HEAD_DIM], values: out }
  return { path, shape: name.includes('o_proj') ? [HEADS, HEAD_DIM, rows] : [columns, rows], values: out }
}

let preset: string
beforeAll(async () => {
  await ready
  preset = await directory({ 'config.json': KERAS_CONFIG })
  await using checkpoint = await openCheckpoint(fixture('gemma-mqa'))
  const file = new File(join(preset, 'model.weights.h5'), 'w')
  for (const [name, { shape }] of checkpoint.tensors) {
    const { path, shape: stored, values } = toKeras(name, shape, await checkpoint.read(name))
    const folders = path.split('/').slice(0, -1)
    let group: Group = file
    for (const [index, folder] of folders.entries()) {
      const found = group.get(folder)
      // Keras keeps the order of its innermost groups, which HDF5 writes in another way.
      group = found instanceof Group ? found : group.create_group(folder, index === folders.length - 1)
    }
    group.create_dataset({ name: '0', data: values, shape: stored })
  }
  file.close()
})

describe('a preset of KerasHub', () => {
  it('is the same model as the checkpoint it was made of', async () => {
    const { config, checkpoint } = await openInput(preset)
    await using _ = checkpoint
    await using original = await openCheckpoint(fixture('gemma-mqa'))
    expect(config).toMatchObject({ architecture: 'gemma', intermediateSize: 256, eosIds: [1, 107] })
    for (const [name, { shape }] of original.tensors) {
      expect(checkpoint.tensors.get(name)?.shape, name).toEqual(shape)
      expect(await checkpoint.read(name), name).toEqual(await original.read(name))
      expect(await checkpoint.read(name, 7, 61), name).toEqual(await original.read(name, 7, 61))
    }
  })

  it('converts to the same weights', async () => {
    const out = await temporary()
    await convert(preset, join(out, 'keras'))
    const config = JSON.parse(await readFile(join(fixture('gemma-mqa'), 'config.json'), 'utf8'))
    const hf = await directory({
      'config.json': { ...config, max_position_embeddings: 8192 },
      'model.safetensors': await readFile(join(fixture('gemma-mqa'), 'model.safetensors')),
    })
    await convert(hf, join(out, 'hf'))
    const data = (name: string) => readFile(join(out, name, 'model.onnx_data'))
    expect((await data('keras')).equals(await data('hf'))).toBe(true)
  })

  it('of another kind, or with other sizes, is refused with a sentence', async () => {
    const h5 = await readFile(join(preset, 'model.weights.h5'))
    const refusal = async (config: object, bytes: Uint8Array = h5): Promise<string> => {
      const dir = await directory({ 'config.json': config, 'model.weights.h5': bytes })
      const error = await convert(dir, join(dir, 'out')).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(FacetError)
      return (error as FacetError).message
    }
    expect(await refusal({ ...KERAS_CONFIG, class_name: 'Gemma3Backbone' })).toContain(
      'class_name is Gemma3Backbone',
    )
    const narrow = { ...KERAS_CONFIG, config: { ...KERAS_CONFIG.config, head_dim: 16 } }
    expect(await refusal(narrow)).toContain('which config.json does not make it')
    const deep = { ...KERAS_CONFIG, config: { ...KERAS_CONFIG.config, num_layers: 4 } }
    expect(await refusal(deep)).toContain('model.layers.3')
    expect(await refusal(KERAS_CONFIG, Buffer.from('not HDF5 at all, but long enough'))).toContain(
      'signature',
    )
    expect(await refusal(KERAS_CONFIG, h5.subarray(0, h5.length / 2))).toContain('model.weights.h5')
  })

  it('answers any bytes with datasets inside the file or a FacetError', async () => {
    const whole = await readFile(join(preset, 'model.weights.h5'))
    const change = fc.record({
      at: fc.nat(whole.length - 9),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    })
    const lie = fc.record({
      cut: fc.integer({ min: 0, max: whole.length }),
      whole: fc.boolean(),
      changes: fc.array(change, { maxLength: 40 }),
    })
    await fc.assert(
      fc.asyncProperty(lie, async ({ cut, whole: uncut, changes }) => {
        const bytes = Uint8Array.from(uncut ? whole : whole.subarray(0, cut))
        // Headers lie in the first kilobytes and between the weights: most changes go there.
        for (const { at, bytes: noise } of changes) {
          const place = at % 3 === 0 ? at : at % 8192
          bytes.set(noise.subarray(0, Math.max(0, bytes.length - place)), Math.min(place, bytes.length))
        }
        try {
          for (const { shape, offset } of await readHdf5('f', inMemory(bytes))) {
            expect(offset + shape.reduce((a, b) => a * b, 2)).toBeLessThanOrEqual(bytes.length)
          }
        } catch (error) {
          if (!(error instanceof FacetError)) throw error
        }
      }),
      { numRuns: 300 },
    )
  })

  it('opens no other file, whatever its links say', async () => {
    const dir = await temporary()
    await writeFile(join(dir, 'secret'), Buffer.alloc(64))
    const path = join(dir, 'linked.h5')
    const file = new File(path, 'w')
    file.create_group('own').create_dataset({ name: 'x', data: new Float32Array(4), shape: [4] })
    file.create_external_link(join(preset, 'model.weights.h5'), 'layers', 'outside')
    file.create_soft_link('/own', 'soft')
    file.close()
    const found = await readHdf5('f', inMemory(await readFile(path)))
    expect(found.map((dataset) => dataset.path)).toEqual(['own/x'])
  })
})
