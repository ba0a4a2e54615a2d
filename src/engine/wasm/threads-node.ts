/** Threads on Node: `spawnNodeThread` starts this very file again in a worker thread, which then obeys. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { instantiate } from './kernels.ts'
import type { Thread, ThreadStart } from './threads.ts'

interface Marked {
  readonly facetThread: ThreadStart
}

export function spawnNodeThread(start: ThreadStart): Thread {
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { facetThread: start } satisfies Marked,
    name: `facet-${start.thread}`,
  })
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  const ready = new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve())
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('it ended at once')))
  })
  worker.on('error', () => {}) // told through `ready` and `exited`
  return {
    ready,
    exited,
    end: async () => {
      await worker.terminate()
      await exited
    },
  }
}

const mine = isMainThread ? undefined : (workerData as Partial<Marked> | null)?.facetThread
if (mine) {
  const kernels = instantiate(mine.module, mine.memory)
  parentPort?.postMessage('ready')
  kernels.serve(mine.model, mine.job, mine.thread)
}
