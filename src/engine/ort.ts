/** Gemma on onnxruntime-web's WebAssembly provider: the portable graph, on the model file as it is. */
import type { Graph } from './graph.ts'
import type { ModelFile } from './model-file.ts'

export async function createOrtGraph(_model: ModelFile): Promise<Graph> {
  throw new Error('todo')
}
