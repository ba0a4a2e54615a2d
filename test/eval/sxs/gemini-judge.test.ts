import { expect, it } from 'vitest'
import { Judge } from '../../../src/eval/sxs/judge.ts'
import { fakeGoogle } from '../../google/fake-google.ts'
import { geminiAt, modelSaid, piece, reachLoopback, sse } from '../../vertex/gemini-server.ts'

reachLoopback()

it('Gemini on Vertex AI judges through Google’s library, held to the schema of a verdict', async () => {
  const text = JSON.stringify({ reasoning: 'The second is right.', verdict: '2' })
  await using google = await fakeGoogle(() => sse(piece({ ...modelSaid(text), finishReason: 'STOP' })))
  const judge = new Judge({ backend: geminiAt(google), chainOfThought: true, maxTokens: 500 })
  const { verdict } = await judge.judge({ prompt: '2 + 2?', answers: ['5', '4'], rubric: 'Truth.' })
  expect(verdict).toEqual({ choice: '2', reasoning: 'The second is right.' })
  expect(JSON.parse(google.asked[0]!.body).generationConfig).toMatchObject({
    maxOutputTokens: 500,
    responseMimeType: 'application/json',
    responseSchema: { required: ['reasoning', 'verdict'] },
  })
})
