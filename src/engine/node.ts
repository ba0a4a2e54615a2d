/** `gemfacet/engine/node`: the engine in a worker thread, so that the caller's event loop stays free. */
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MessageChannel, Worker } from 'node:worker_threads'
import { FacetError } from '../errors.ts'
import type { Engine } from './backend.ts'
import { connectBackend, fromWireError, type RemoteBackend, type WireError } from './bridge.ts'
import type { LoadOptions } from './engine.ts'
import type { LoadProgress } from './model-file.ts'
import type { ByteRange, ModelFiles } from './model-files.ts'

/** What the worker is started with; functions cannot be sent. */
export interface WorkerStart {
  readonly port: MessagePort
  readonly directory: string
  readonly options: Omit<LoadOptions, 'onProgress'>
}

/** What the worker says while it loads. */
export type WorkerNews = { readonly progress: LoadProgress } | { readonly failed: WireError }

/**
 * Loads the model directory into a worker thread of its own; `close()` ends the thread.
 *
 * @throws FacetError invalid_model, checksum_mismatch, tokenizer_missing, io_failed, unsupported (a peer is
 * missing), invalid_request (an option is out of range)
 */
export async function loadEngine(directory: string, options: LoadOptions = {}): Promise<Engine> {
  const { onProgress, ...rest } = options
  const { port1, port2 } = new MessageChannel()
  // In the clone Node runs the .ts source, installed it is .js: the worker is what this file is.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const start = { port: port2, directory, options: rest }
  const worker = new Worker(new URL(`./node-worker.${extension}`, import.meta.url), {
    workerData: start,
    transferList: [port2],
    name: 'facet-engine',
  })
  const port = port1 as unknown as MessagePort // Node's own type lacks only DOM details
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  const failed = Promise.withResolvers<never>()
  let backend: RemoteBackend | undefined

  worker.on('message', (news: WorkerNews) => {
    if ('progress' in news) onProgress?.(news.progress)
    else failed.reject(fromWireError(news.failed))
  })
  worker.once('error', (cause) => {
    const error = new FacetError('internal', `The thread that computes failed: ${cause.message}`, { cause })
    failed.reject(error)
    backend?.disconnect(error)
  })
  worker.once('exit', () => {
    const error = new FacetError('unavailable', 'The thread that computes has ended; load the model again.')
    failed.reject(error)
    backend?.disconnect(error)
  })

  const close = async (): Promise<void> => {
    backend?.disconnect(new FacetError('unavailable', 'The engine is closed; load the model again.'))
    await worker.terminate()
    await exited
  }
  const connected = connectBackend(port)
  connected.catch(() => {}) // a port that closes is told by `failed`, which knows why
  try {
    backend = await Promise.race([connected, failed.promise])
  } catch (error) {
    port.close()
    await close()
    throw error
  }
  failed.promise.catch(() => {}) // from now on the backend's callers are told
  const { name, model, chat, score } = backend
  return { name, model, chat, ...(score && { score }), close }
}

/** A model directory on this machine's disk. */
export function filesFromDirectory(directory: string): ModelFiles {
  return {
    location: directory,
    size: async (path) => (await statFile(join(directory, path)))?.size,
    open: async (path, range?: ByteRange) => {
      const file = join(directory, path)
      if (!(await statFile(file))?.isFile()) return undefined
      return fileStream(await open(file), range)
    },
  }
}

/** A byte stream: the file is read straight into the buffer of whoever reads. */
function fileStream(
  file: FileHandle,
  { start, end }: ByteRange = { start: 0, end: Infinity },
): ReadableStream<Uint8Array> {
  let position = start
  return new ReadableStream({
    type: 'bytes',
    autoAllocateChunkSize: 1024 * 1024,
    pull: async (controller) => {
      const request = controller.byobRequest as ReadableStreamBYOBRequest // given, because of autoAllocateChunkSize
      const view = request.view as Uint8Array<ArrayBuffer>
      const room = Math.min(view.byteLength, end - position)
      const { bytesRead } = room > 0 ? await file.read(view, 0, room, position) : { bytesRead: 0 }
      position += bytesRead
      if (bytesRead === 0) {
        await file.close()
        controller.close()
      }
      request.respond(bytesRead)
    },
    cancel: () => file.close(),
  })
}

async function statFile(file: string) {
  try {
    return await stat(file)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new FacetError('io_failed', `${file} cannot be read (${code}); check its permissions.`, { cause })
  }
}
