/** One request to a deployment's address, in the words of its server. */
import type { GkeSpec } from '../../../../deploy/spec.ts'

const QUESTIONS: Readonly<Record<GkeSpec['target'], readonly [path: string, body: object]>> = {
  'gke-gpu': [
    '/v1/chat/completions',
    { model: 'gemma-7b-it', messages: [{ role: 'user', content: 'Hello' }] },
  ],
  'gke-tpu': ['/generate', { prompt: 'Hello', max_tokens: 8 }],
}

/** Waits for the whole answer. @returns its status */
export async function ask(url: string, target: GkeSpec['target']): Promise<number> {
  const [path, body] = QUESTIONS[target]
  const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) })
  await answer.text()
  return answer.status
}
