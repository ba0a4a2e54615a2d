/** The Web Worker of browser.ts. */
import type { BrowserWorkerStart } from './browser.ts'
import { loadBrowserModel } from './browser-model.ts'
import { serveEngine } from './remote-worker.ts'
import { spawnWebThread } from './wasm/threads-web.ts'
import { tuningsInCache } from './webgpu/tuning.ts'

addEventListener(
  'message',
  ({ data }: MessageEvent<BrowserWorkerStart>) => {
    // Workers of workers are younger than workers: Safari has them since 15.5.
    const spawn = typeof Worker === 'function' ? spawnWebThread : undefined
    void serveEngine(data, (load, onProgress) =>
      loadBrowserModel(data.location, { keep: data.keep, onProgress }, (files, told) =>
        load({ files, onProgress: told, tunings: tuningsInCache(), ...(spawn && { spawn }) }),
      ),
    )
  },
  { once: true },
)
