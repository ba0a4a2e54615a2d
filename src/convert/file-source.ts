/** Files that a checkpoint is read from: in a folder, or wherever else they can be read piece by piece. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { FacetError } from '../errors.ts'

export interface SourceFile {
  readonly sizeBytes: number
  /**
   * Fills `into` with the bytes from `position` on.
   *
   * @throws FacetError invalid_checkpoint when the file ends before that
   */
  read(into: Uint8Array, position: number): Promise<void>
  close(): Promise<void>
}

export interface FileSource {
  /** Where the files are, for messages. */
  readonly place: string
  /** Undefined: there is no such file. The caller closes it. */
  open(file: string): Promise<SourceFile | undefined>
  /**
   * Resolves once every byte that was handed out is known to be right: asked before what was made
   * from them gets its name. Left out where they are only read from disk.
   */
  verified?(): Promise<void>
}

/** Most bytes asked of the system at a time. */
const PIECE_BYTES = 8 * 1024 * 1024
/** Configurations and tokenizers; the largest there is (Gemma 3's tokenizer.json) has 33 MB. */
const MAX_WHOLE_BYTES = 256 * 1024 * 1024

export function localFiles(dir: string): FileSource {
  return { place: dir, open: (file) => openLocal(join(dir, file), file) }
}

/** A path means that folder. */
export function toSource(from: string | FileSource): FileSource {
  return typeof from === 'string' ? localFiles(from) : from
}

/**
 * A small file's bytes, or undefined when there is no such file.
 *
 * @throws FacetError invalid_checkpoint when it is larger than any of its kind, io_failed
 */
export async function readWhole(source: FileSource, file: string): Promise<Uint8Array | undefined> {
  const opened = await source.open(file)
  if (!opened) return undefined
  try {
    if (opened.sizeBytes > MAX_WHOLE_BYTES) {
      const problem = `${file} has ${opened.sizeBytes} bytes, far more than any Gemma's; download it again.`
      throw new FacetError('invalid_checkpoint', problem, { field: file })
    }
    const bytes = new Uint8Array(opened.sizeBytes)
    await opened.read(bytes, 0)
    return bytes
  } finally {
    await opened.close()
  }
}

/**
 * @param name how messages call it
 * @throws FacetError io_failed
 */
async function openLocal(path: string, name: string): Promise<SourceFile | undefined> {
  const refused = (cause: Error): never => {
    throw new FacetError('io_failed', `${path} cannot be read: ${cause.message}.`, { cause })
  }
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    return refused(error)
  })
  if (!handle) return undefined
  const { size } = await handle.stat()
  return {
    sizeBytes: size,
    async read(into, position) {
      for (let at = 0; at < into.length; ) {
        const length = Math.min(into.length - at, PIECE_BYTES)
        const { bytesRead } = await handle.read(into, at, length, position + at).catch(refused)
        if (bytesRead === 0) throw cutShort(name)
        at += bytesRead
      }
    },
    close: () => handle.close(),
  }
}

/** A file that has fewer bytes than it had a moment ago. */
export function cutShort(file: string): FacetError {
  const problem = `${file}: file became shorter while it was read; download it again.`
  return new FacetError('invalid_checkpoint', problem, { field: 'file' })
}
