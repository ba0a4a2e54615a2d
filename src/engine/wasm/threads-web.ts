/** Threads where there is a Web Worker: `spawnWebThread` starts web-thread.ts in one. */
import type { Thread, ThreadStart } from './threads.ts'

/** Chromium never ends a worker that is terminated while one that it started is still failing to start. */
const ENDING_MS = 500

export function spawnWebThread(start: ThreadStart): Thread {
  // Bundlers look for exactly this expression.
  const worker = new Worker(new URL('./web-thread.ts', import.meta.url), {
    type: 'module',
    name: 'facet-thread',
  })
  const exited = Promise.withResolvers<void>()
  const ready = new Promise<void>((resolve, reject) => {
    worker.addEventListener('message', () => resolve(), { once: true })
    worker.addEventListener('error', (event) => {
      event.preventDefault() // told through `ready` and `exited`
      worker.terminate()
      exited.resolve()
      const error = new Error(event.message || 'its script could not be loaded')
      setTimeout(() => reject(error), ENDING_MS)
    })
  })
  worker.postMessage(start)
  return {
    ready,
    exited: exited.promise,
    end: async () => {
      worker.terminate()
      exited.resolve()
    },
  }
}
