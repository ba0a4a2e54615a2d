/** Details of google.rpc.Status as an operation that failed carries them: packed, where a call's are unpacked by the library. */
import { eachField, type Field, type Readers } from '../../src/gemma/protobuf.ts'

/** google.protobuf.Any. */
export interface Packed {
  readonly type_url?: string | null
  readonly value?: unknown
}

type Detail = Readonly<Record<string, unknown>>

const UNPACK: Readonly<Record<string, (bytes: Uint8Array) => Detail>> = {
  'google.rpc.ErrorInfo': toErrorInfo,
  'google.rpc.BadRequest': (bytes) => ({
    fieldViolations: messages(bytes, 1, { 1: 'field', 2: 'description' }),
  }),
  'google.rpc.QuotaFailure': (bytes) => ({
    violations: messages(bytes, 1, { 1: 'subject', 2: 'description', 4: 'quotaMetric', 5: 'quotaId' }),
  }),
}

/** Those of a known type that can be read, in the library's form; the message says the rest. */
export function unpackDetails(details: readonly Packed[]): Detail[] {
  return details.flatMap(({ type_url, value }) => {
    const unpack = UNPACK[type_url?.split('/').at(-1) ?? '']
    if (!unpack || !(value instanceof Uint8Array)) return []
    try {
      return [unpack(value)]
    } catch {
      // What cannot be read explains nothing.
      return []
    }
  })
}

function toErrorInfo(bytes: Uint8Array): Detail {
  const info = { reason: '', domain: '' }
  const metadata: (readonly [string, string])[] = []
  eachField(bytes, {
    1: (field) => {
      info.reason = field.text()
    },
    2: (field) => {
      info.domain = field.text()
    },
    // A map is a list of pairs.
    3: (field) => {
      const { key = '', value = '' } = texts(field.bytes(), { 1: 'key', 2: 'value' })
      metadata.push([key, value])
    },
  })
  return { ...info, metadata: Object.fromEntries(metadata) }
}

type Names = Readonly<Record<number, string>>

/** The messages of a repeated field, of which only texts are wanted. */
function messages(bytes: Uint8Array, number: number, names: Names): Detail[] {
  const found: Detail[] = []
  eachField(bytes, { [number]: (field: Field) => found.push(texts(field.bytes(), names)) })
  return found
}

function texts(bytes: Uint8Array, names: Names): Record<string, string> {
  const found: Record<string, string> = {}
  const readers = Object.entries(names).map(([number, name]) => [
    number,
    (field: Field) => {
      found[name] = field.text()
    },
  ])
  eachField(bytes, Object.fromEntries(readers) as Readers)
  return found
}
