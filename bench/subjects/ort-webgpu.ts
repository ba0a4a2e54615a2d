/** onnxruntime-web's WebGPU provider in Node.js through Dawn: keys and values in buffers that are past and present. */
import { readFile } from 'node:fs/promises'
import * as ort from 'onnxruntime-web/webgpu'
import { create, globals } from 'webgpu'
import { withData } from '../../src/engine/model-file.ts'
import { createOrtWebGpuGraph } from '../../src/engine/ort-webgpu.ts'
import { openBench, Steps } from '../steps.ts'
import { argument, serveSubject, timed } from '../subject.ts'

let steps: Steps

serveSubject({
  load: async () => [
    await timed(async () => {
      // What a browser would have, for a package that is made for browsers.
      Object.assign(globalThis, globals)
      Object.defineProperty(navigator, 'gpu', { value: create([]) })
      const binary = import.meta.resolve('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm')
      ort.env.wasm.wasmBinary = new Uint8Array(await readFile(new URL(binary))).buffer
      ort.env.wasm.numThreads = 1
      steps = new Steps(await createOrtWebGpuGraph(await withData(await openBench(argument(0)))))
    }),
  ],
  decode: (context, count, turns) => steps.decode(context!, count!, turns!),
  prefill: async (count) => [await steps.prefill(count!)],
})
