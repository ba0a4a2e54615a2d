/** What runtime/webgpu.test.ts runs under each runtime: one answer of the shipped model on WebGPU. */
import { loadEngine } from '../../src/engine/node.ts'
import { goldenPrompts, MODEL_DIRECTORY } from '../engine/golden.ts'

/** Ids of the answer's tokens, without the end of the turn; or why there is none. */
export type WebGpuReport =
  | { readonly ids: readonly number[] }
  | { readonly code: string; readonly message: string }

async function answer(): Promise<WebGpuReport> {
  try {
    const engine = await loadEngine(MODEL_DIRECTORY, { graph: 'webgpu', slots: 1, contextTokens: 128 })
    const ids: number[] = []
    const messages = [{ role: 'user', content: goldenPrompts[0]!.prompt }] as const
    for await (const event of engine.chat({ messages, temperature: 0, logprobs: 0 })) {
      if (event.type === 'text') for (const { id } of event.logprobs ?? []) ids.push(id)
    }
    await engine.close()
    return { ids }
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return { code, message }
  }
}

console.log(JSON.stringify(await answer()))
