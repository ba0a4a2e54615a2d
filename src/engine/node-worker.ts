/** The worker thread that loads a model, and answers the calls of the thread that started it. */
import { parentPort, workerData } from 'node:worker_threads'
import { serveBackend, toWireError } from './bridge.ts'
import { loadEngine } from './engine.ts'
import { filesFromDirectory, type WorkerNews, type WorkerStart } from './node.ts'
import { spawnNodeThread } from './wasm/threads-node.ts'

const { port, directory, options } = workerData as WorkerStart
const tell = (news: WorkerNews): void => parentPort?.postMessage(news)

try {
  const engine = await loadEngine({
    ...options,
    files: filesFromDirectory(directory),
    spawn: spawnNodeThread,
    onProgress: (progress) => tell({ progress }),
  })
  serveBackend(port, engine)
} catch (error) {
  tell({ failed: toWireError(error) })
}
