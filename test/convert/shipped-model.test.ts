import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inspect, verify } from '../../src/convert/inspect.ts'
import { openSession, type Session } from './onnx-session.ts'

const DIR = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))

interface Golden {
  readonly prompt: string
  readonly input_ids: number[]
  readonly last_logits_int4_top10: [id: number, logit: number][]
  readonly greedy_ids_int4: number[]
}
const { golden } = JSON.parse(
  readFileSync(new URL('../golden/facet-tldr-24m.json', import.meta.url), 'utf8'),
) as { golden: Golden[] }

describe('the model that ships', () => {
  let session: Session
  beforeAll(async () => {
    session = await openSession(DIR)
  })
  afterAll(() => session[Symbol.asyncDispose]())

  it("has transformers' int4 logits on onnxruntime-web", async () => {
    for (const { input_ids, last_logits_int4_top10 } of golden) {
      const logits = await session.logits(input_ids, 1)
      expect(logits).toHaveLength(8192)
      for (const [id, logit] of last_logits_int4_top10)
        expect(Math.abs(logits[id]! - logit)).toBeLessThan(1e-3)
    }
  })

  it("answers as transformers' int4 weights do", async () => {
    expect(golden).toHaveLength(15)
    const same: string[] = []
    for (const { prompt, input_ids, greedy_ids_int4 } of golden) {
      const answer = await session.greedy(input_ids, greedy_ids_int4.length, [1, 107])
      if (answer.join() === greedy_ids_int4.join()) same.push(prompt)
    }
    expect(same.length).toBeGreaterThanOrEqual(14)
  })

  it('says what it is, and is what its manifest says', async () => {
    const found = await inspect(DIR)
    expect(found).toMatchObject({ id: 'facet-tldr-24m', weights: 'int4', hasTokenizer: true })
    expect(found.parameters.total).toBe(24_289_152)
    expect(found.description).toContain("not one of Google's models")
    expect(found.license).toContain('CC BY 4.0')
    await verify(DIR, found.files!)
  })
})
