/** The Workers template with the engine options of the suite; it also tells the sizes of its memories. */
import { type AssetsBinding, createWorker, type FacetWorker, filesFromAssets } from 'gemfacet/edge/workers'
import { ENGINE } from '../engine-options.ts'

interface Env {
  readonly ASSETS: AssetsBinding
}

const memories: WebAssembly.Memory[] = []
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(descriptor: WebAssembly.MemoryDescriptor) {
    super(descriptor)
    memories.push(this)
  }
}

const facet = createWorker<Env>({
  files: ({ ASSETS }) => filesFromAssets(ASSETS, '/facet-tldr-24m'),
  engine: ENGINE,
})

const worker: FacetWorker<Env> = {
  fetch: async (request, env) =>
    new URL(request.url).pathname === '/memories'
      ? Response.json(memories.map(({ buffer }) => buffer.byteLength))
      : facet.fetch(request, env),
}
export default worker
