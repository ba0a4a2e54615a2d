/** ONNX models as plain data, and their protobuf bytes: the part of the format that Gemma's graphs need. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { FacetError } from '../errors.ts'
import { isInside } from './manifest.ts'
import { eachField, type Field, toSafe, writeInt, writeMessage, writeText } from './protobuf.ts'

export type OnnxType = 'float32' | 'float16' | 'bfloat16' | 'uint8' | 'int32' | 'int64'

/** TensorProto.DataType, and bytes of one element. */
const TYPES: Readonly<Record<OnnxType, { readonly code: number; readonly bytes: number }>> = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int32: { code: 6, bytes: 4 },
  int64: { code: 7, bytes: 8 },
  float16: { code: 10, bytes: 2 },
  bfloat16: { code: 16, bytes: 2 },
}

export type OnnxAttribute =
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'ints'; readonly value: readonly number[] }

export interface OnnxNode {
  readonly name: string
  readonly opType: string
  /** '' is ONNX's own. */
  readonly domain: string
  /** '' stands for an optional input that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, OnnxAttribute>>
}

/** Where an initializer's little-endian bytes lie in a file beside the model. */
export interface ExternalData {
  /** Relative to the model's directory. */
  readonly location: string
  /** In bytes. */
  readonly offset: number
  readonly length: number
}

export interface OnnxInitializer {
  readonly name: string
  readonly type: OnnxType
  readonly dims: readonly number[]
  /** The bytes themselves, little-endian, or where they are. */
  readonly data: Uint8Array | ExternalData
}

/** An input or output; a dimension is a size or a name. */
export interface OnnxValue {
  readonly name: string
  readonly type: OnnxType
  readonly dims: readonly (number | string)[]
}

export interface OnnxModel {
  readonly irVersion: number
  readonly producer: string
  /** Operator sets: domain to version. */
  readonly opsets: Readonly<Record<string, number>>
  readonly name: string
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly OnnxInitializer[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

/** Bytes an initializer of this type and shape takes. */
export function initializerBytes(type: OnnxType, dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, TYPES[type].bytes)
}

/** The bytes of `model.onnx`; the same model always gives the same bytes. */
export function encodeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter()
  writeInt(writer, 1, model.irVersion)
  writeText(writer, 2, model.producer)
  writeMessage(writer, 7, (graph) => {
    for (const node of model.nodes) writeMessage(graph, 1, (inner) => encodeNode(inner, node))
    writeText(graph, 2, model.name)
    for (const tensor of model.initializers) writeMessage(graph, 5, (inner) => encodeTensor(inner, tensor))
    for (const value of model.inputs) writeMessage(graph, 11, (inner) => encodeValue(inner, value))
    for (const value of model.outputs) writeMessage(graph, 12, (inner) => encodeValue(inner, value))
  })
  for (const [domain, version] of Object.entries(model.opsets)) {
    writeMessage(writer, 8, (inner) => {
      writeText(inner, 1, domain)
      writeInt(inner, 2, version)
    })
  }
  return writer.finish()
}

function encodeNode(writer: BinaryWriter, node: OnnxNode): void {
  for (const input of node.inputs) writeText(writer, 1, input)
  for (const output of node.outputs) writeText(writer, 2, output)
  writeText(writer, 3, node.name)
  writeText(writer, 4, node.opType)
  for (const [name, attribute] of Object.entries(node.attributes)) {
    writeMessage(writer, 5, (inner) => {
      writeText(inner, 1, name)
      encodeAttribute(inner, attribute)
    })
  }
  writeText(writer, 7, node.domain)
}

function encodeAttribute(writer: BinaryWriter, attribute: OnnxAttribute): void {
  const { type, value } = attribute
  if (type === 'float') writer.tag(2, WireType.Bit32).float(value)
  else if (type === 'int') writeInt(writer, 3, value)
  else if (type === 'string') writeText(writer, 4, value)
  else for (const item of value) writeInt(writer, 8, item)
  writeInt(writer, 20, ATTRIBUTE_TYPES[type])
}

function encodeTensor(writer: BinaryWriter, { name, type, dims, data }: OnnxInitializer): void {
  for (const size of dims) writeInt(writer, 1, size)
  writeInt(writer, 2, TYPES[type].code)
  writeText(writer, 8, name)
  if (data instanceof Uint8Array) {
    writer.tag(9, WireType.LengthDelimited).bytes(data)
    return
  }
  for (const [key, value] of Object.entries(data)) {
    writeMessage(writer, 13, (inner) => {
      writeText(inner, 1, key)
      writeText(inner, 2, String(value))
    })
  }
  writeInt(writer, 14, EXTERNAL)
}

function encodeValue(writer: BinaryWriter, { name, type, dims }: OnnxValue): void {
  writeText(writer, 1, name)
  writeMessage(writer, 2, (outer) =>
    writeMessage(outer, 1, (tensor) => {
      writeInt(tensor, 1, TYPES[type].code)
      writeMessage(tensor, 2, (shape) => {
        for (const size of dims) {
          writeMessage(shape, 1, (dim) =>
            typeof size === 'number' ? writeInt(dim, 1, size) : writeText(dim, 2, size),
          )
        }
      })
    }),
  )
}

const ATTRIBUTE_TYPES: Readonly<Record<OnnxAttribute['type'], number>> = {
  float: 1,
  int: 2,
  string: 3,
  ints: 7,
}
/** TensorProto.data_location of bytes in another file. */
const EXTERNAL = 1

/**
 * Reads the bytes of an ONNX model, trusting none of them. Fields this subset lacks (documentation,
 * value types, training) are passed over; nodes and initializers it cannot express are refused.
 *
 * @throws FacetError invalid_model
 */
export function decodeModel(bytes: Uint8Array): OnnxModel {
  try {
    return readModel(bytes)
  } catch (error) {
    if (error instanceof FacetError) throw error
    // The wire reader throws plain errors for bytes that are not protobuf.
    throw new FacetError('invalid_model', 'model.onnx is not an ONNX model; download or convert it again.', {
      field: 'model.onnx',
      cause: error,
    })
  }
}

function readModel(bytes: Uint8Array): OnnxModel {
  let irVersion = 0
  let producer = ''
  let graph: Pick<OnnxModel, 'name' | 'nodes' | 'initializers' | 'inputs' | 'outputs'> | undefined
  const opsets = new Map<string, number>()
  eachField(bytes, {
    1: (field) => (irVersion = field.int()),
    2: (field) => (producer = field.text()),
    7: (field) => (graph = readGraph(field.bytes())),
    8: (field) => opsets.set(...readOpset(field.bytes())),
  })
  if (!graph) return fail('graph', 'is missing')
  return { irVersion, producer, opsets: Object.fromEntries(opsets), ...graph }
}

function readOpset(bytes: Uint8Array): [string, number] {
  let domain = ''
  let version = 0
  eachField(bytes, { 1: (field) => (domain = field.text()), 2: (field) => (version = field.int()) })
  return [domain, version]
}

function readGraph(bytes: Uint8Array): Omit<OnnxModel, 'irVersion' | 'producer' | 'opsets'> {
  let name = ''
  const nodes: OnnxNode[] = []
  const initializers = new Map<string, OnnxInitializer>()
  const inputs: OnnxValue[] = []
  const outputs: OnnxValue[] = []
  eachField(bytes, {
    1: (field) => nodes.push(readNode(field.bytes())),
    2: (field) => (name = field.text()),
    5: (field) => {
      const tensor = readTensor(field.bytes())
      if (initializers.has(tensor.name)) fail(tensor.name, 'is there twice')
      initializers.set(tensor.name, tensor)
    },
    11: (field) => inputs.push(readValue(field.bytes())),
    12: (field) => outputs.push(readValue(field.bytes())),
  })
  return { name, nodes, initializers: [...initializers.values()], inputs, outputs }
}

function readNode(bytes: Uint8Array): OnnxNode {
  let name = ''
  let opType = ''
  let domain = ''
  const inputs: string[] = []
  const outputs: string[] = []
  const attributes = new Map<string, OnnxAttribute>()
  eachField(bytes, {
    1: (field) => inputs.push(field.text()),
    2: (field) => outputs.push(field.text()),
    3: (field) => (name = field.text()),
    4: (field) => (opType = field.text()),
    5: (field) => attributes.set(...readAttribute(field.bytes())),
    7: (field) => (domain = field.text()),
  })
  return { name, opType, domain, inputs, outputs, attributes: Object.fromEntries(attributes) }
}

function readAttribute(bytes: Uint8Array): [string, OnnxAttribute] {
  let name = ''
  let type = 0
  let float = 0
  let whole = 0
  let string = ''
  const ints: number[] = []
  eachField(bytes, {
    1: (field) => (name = field.text()),
    2: (field) => (float = field.float()),
    3: (field) => (whole = field.int()),
    4: (field) => (string = field.text()),
    8: (field) => ints.push(...field.ints()),
    20: (field) => (type = field.int()),
  })
  if (type === ATTRIBUTE_TYPES.float) return [name, { type: 'float', value: float }]
  if (type === ATTRIBUTE_TYPES.int) return [name, { type: 'int', value: whole }]
  if (type === ATTRIBUTE_TYPES.string) return [name, { type: 'string', value: string }]
  if (type === ATTRIBUTE_TYPES.ints) return [name, { type: 'ints', value: ints }]
  return fail(name, `is an attribute of type ${type}, which Gemma's graphs do not use`)
}

function readTensor(bytes: Uint8Array): OnnxInitializer {
  let name = ''
  let code = 0
  let raw: Uint8Array | undefined
  let location = 0
  const dims: number[] = []
  const external = new Map<string, string>()
  eachField(bytes, {
    1: (field) => dims.push(...field.ints()),
    2: (field) => (code = field.int()),
    8: (field) => (name = field.text()),
    9: (field) => (raw = field.bytes()),
    13: (field) => external.set(...readEntry(field.bytes())),
    14: (field) => (location = field.int()),
  })
  const type = typeOf(code, name)
  if (dims.some((size) => size < 0)) fail(`${name}.dims`, `must not be negative, but is [${dims}]`)
  const length = initializerBytes(type, dims)
  if (location !== EXTERNAL) {
    if (raw?.length !== length)
      fail(`${name}.raw_data`, `must be ${length} bytes, but is ${raw?.length ?? 0}`)
    return { name, type, dims, data: raw }
  }
  const place = external.get('location') ?? ''
  if (!isInside(place)) fail(`${name}.external_data.location`, 'must name a file in the directory')
  const offset = toSafe(external.get('offset') ?? '0')
  if (offset < 0 || !Number.isSafeInteger(offset + length))
    fail(`${name}.external_data.offset`, 'is out of range')
  const given = external.get('length')
  if (given !== undefined && toSafe(given) !== length) {
    fail(`${name}.external_data.length`, `is ${given}, but type and dims make it ${length}`)
  }
  return { name, type, dims, data: { location: place, offset, length } }
}

function readEntry(bytes: Uint8Array): [string, string] {
  let key = ''
  let value = ''
  eachField(bytes, { 1: (field) => (key = field.text()), 2: (field) => (value = field.text()) })
  return [key, value]
}

function readValue(bytes: Uint8Array): OnnxValue {
  let name = ''
  let code = 0
  const dims: (number | string)[] = []
  const readDim = (field: Field) => {
    let size: number | string = ''
    eachField(field.bytes(), { 1: (inner) => (size = inner.int()), 2: (inner) => (size = inner.text()) })
    dims.push(size)
  }
  const readShape = (field: Field) => eachField(field.bytes(), { 1: readDim })
  const readTensorType = (field: Field) =>
    eachField(field.bytes(), { 1: (inner) => (code = inner.int()), 2: readShape })
  eachField(bytes, {
    1: (field) => (name = field.text()),
    2: (field) => eachField(field.bytes(), { 1: readTensorType }),
  })
  return { name, type: typeOf(code, name), dims }
}

function typeOf(code: number, name: string): OnnxType {
  for (const [type, known] of Object.entries(TYPES)) if (known.code === code) return type as OnnxType
  return fail(`${name}.data_type`, `is ${code}, which Gemma's graphs do not use`)
}

function fail(field: string, problem: string): never {
  throw new FacetError('invalid_model', `model.onnx: ${field} ${problem}; download or convert it again.`, {
    field,
  })
}
