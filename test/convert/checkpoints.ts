/** Makes checkpoint directories for tests, sound ones and lying ones. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Entry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly unknown[]
}

/** A fresh directory below the system's temporary one. */
export function temporary(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'facet-test-'))
}

/** A safetensors file: `header` may be any JSON value or raw text, `length` overrides its true length. */
export function safetensors(
  header: unknown,
  data: Uint8Array = new Uint8Array(),
  length?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const file = new Uint8Array(8 + text.length + data.length)
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true)
  file.set(text, 8)
  file.set(data, 8 + text.length)
  return file
}

/** A safetensors file holding these tensors one after the other. */
export function safetensorsOf(
  tensors: Readonly<
    Record<string, { readonly dtype: string; readonly shape: readonly number[]; readonly bytes: Uint8Array }>
  >,
): Uint8Array<ArrayBuffer> {
  const header: Record<string, Entry> = {}
  let at = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] }
    at += bytes.length
  }
  return safetensors(header, Buffer.concat(Object.values(tensors).map(({ bytes }) => bytes)))
}

export async function directory(
  files: Readonly<Record<string, string | Uint8Array | object>>,
): Promise<string> {
  const dir = join(await temporary(), 'checkpoint')
  await mkdir(dir)
  for (const [name, content] of Object.entries(files)) {
    const raw = typeof content === 'string' || content instanceof Uint8Array
    await writeFile(join(dir, name), raw ? content : JSON.stringify(content))
  }
  return dir
}
