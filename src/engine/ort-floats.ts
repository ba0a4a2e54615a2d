/** bfloat16 initializers as float32, for onnxruntime-web's WebGPU build, which has no Cast from bfloat16. */
import { DATA_FILE } from '../gemma/manifest.ts'
import { decodeModel, encodeModel, type OnnxInitializer } from '../gemma/onnx.ts'
import type { ModelFile } from './model-file.ts'

/** What a session is opened with. */
export interface SessionFiles {
  /** The bytes of model.onnx. */
  readonly graph: Uint8Array<ArrayBuffer>
  /** Files beside it, by name. */
  readonly data: ReadonlyMap<string, Uint8Array<ArrayBuffer>>
}

const FLOATS_FILE = 'floats'

/** Takes the Casts out and gives their outputs' names to float32 copies of what they cast; the values are the same. */
export function withFloats({ graph, data }: Pick<ModelFile, 'graph' | 'data'>): SessionFiles {
  const model = decodeModel(graph)
  const sources = new Map(
    model.initializers.filter(({ type }) => type === 'bfloat16').map((each) => [each.name, each]),
  )
  const casts = model.nodes.filter(({ opType, inputs }) => opType === 'Cast' && sources.has(inputs[0]!))
  const elements = casts.map(({ inputs }) => sources.get(inputs[0]!)!.dims.reduce((a, b) => a * b, 1))
  const floats = new Uint32Array(elements.reduce((a, b) => a + b, 0))
  let filled = 0
  const copies = casts.map(({ inputs, outputs }, i): OnnxInitializer => {
    const { dims, data: from } = sources.get(inputs[0]!)!
    const bytes = from instanceof Uint8Array ? from : data.subarray(from.offset, from.offset + from.length)
    // A bfloat16 is the upper half of a float32. Bytes, because an initializer may start anywhere.
    for (let at = 0; at < elements[i]!; at++) {
      floats[filled + at] = (bytes[2 * at]! << 16) | (bytes[2 * at + 1]! << 24)
    }
    const place = { location: FLOATS_FILE, offset: filled * 4, length: elements[i]! * 4 }
    filled += elements[i]!
    return { name: outputs[0]!, type: 'float32', dims, data: place }
  })
  const gone = new Set(casts.map(({ inputs }) => inputs[0]!))
  return {
    graph: encodeModel({
      ...model,
      nodes: model.nodes.filter((node) => !casts.includes(node)),
      initializers: [...model.initializers.filter(({ name }) => !gone.has(name)), ...copies],
    }),
    data: new Map([
      [DATA_FILE, data],
      [FLOATS_FILE, new Uint8Array(floats.buffer)],
    ]),
  }
}
