/** A Web Worker that obeys the thread that started it, until it is ended. */
import { instantiate } from './kernels.ts'
import type { ThreadStart } from './threads.ts'

addEventListener(
  'message',
  ({ data: { module, memory, model, job, thread } }: MessageEvent<ThreadStart>) => {
    const kernels = instantiate(module, memory)
    postMessage('ready')
    kernels.serve(model, job, thread)
    close()
  },
  { once: true },
)
