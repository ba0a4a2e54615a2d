/** The least a loader can do: read a file into fresh WebAssembly memory and hash it on the way. */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { argument, serveSubject, timed } from '../subject.ts'

const CHUNK_BYTES = 16 * 1024 * 1024

serveSubject({
  load: async () => [
    await timed(() => {
      const file = openSync(argument(0), 'r')
      const { size } = fstatSync(file)
      const pages = Math.ceil(size / 65_536)
      const bytes = new Uint8Array(
        new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer,
      )
      const hash = createHash('sha256')
      for (let at = 0; at < size; ) {
        const count = readSync(file, bytes, at, Math.min(CHUNK_BYTES, size - at), at)
        hash.update(bytes.subarray(at, at + count))
        at += count
      }
      closeSync(file)
      return hash.digest()
    }),
  ],
})
