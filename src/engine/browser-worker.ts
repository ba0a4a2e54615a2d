/** The Web Worker of browser.ts. */
import { filesFromUrl } from './model-files.ts'
import type { WorkerStart } from './remote.ts'
import { serveEngine } from './remote-worker.ts'
import { spawnWebThread } from './wasm/threads-web.ts'

addEventListener(
  'message',
  ({ data }: MessageEvent<WorkerStart>) => {
    // Workers of workers are younger than workers: Safari has them since 15.5.
    const spawn = typeof Worker === 'function' ? spawnWebThread : undefined
    void serveEngine(data, { files: filesFromUrl(data.location), ...(spawn && { spawn }) })
  },
  { once: true },
)
