import { describe, expect, it } from 'vitest'
import { ask } from '../../src/edge/page/ask.ts'
import { Conversation, type Exchange } from '../../src/edge/page/conversation.ts'
import { toJson, toMarkdown } from '../../src/edge/page/export.ts'
import { FacetError } from '../../src/index.ts'
import { FakeBackend, type FakeOptions } from '../edge/fake-backend.ts'

const NOW = new Date('2026-01-02T03:04:05Z')

function exchange(question: string): Exchange {
  return {
    question,
    parameters: { temperature: 0 },
    place: 'the server',
    model: 'fake-model',
    answer: '',
    tokens: [],
    outcome: 'running',
    times: { sentMs: 0 },
  }
}

/** Asks each question of a backend of its own, one after the other. */
async function talk(answers: Readonly<Record<string, FakeOptions>>): Promise<Conversation> {
  const conversation = new Conversation()
  for (const [question, fake] of Object.entries(answers)) {
    const one = exchange(question)
    const messages = conversation.messages('', question)
    conversation.exchanges.push(one)
    const signal = new AbortController().signal
    await ask(new FakeBackend(fake), one, { messages, signal, onChange: () => {} })
  }
  return conversation
}

const breaks = (step: number): void => {
  if (step === 1) throw new FacetError('stream_interrupted', 'The connection broke.')
}

describe('a conversation', () => {
  it('sends complete and cut answers with the next question, and none that broke', async () => {
    const conversation = await talk({
      whole: { pieces: ['yes'] },
      broken: { pieces: ['ha', 'lf'], before: breaks },
      cut: { pieces: ['to the limit'], finish: { reason: 'length' } },
    })
    expect(conversation.exchanges.map(({ outcome }) => outcome)).toEqual(['complete', 'failed', 'cut'])
    expect(conversation.messages('Be brief.', 'next')).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'whole' },
      { role: 'assistant', content: 'yes' },
      { role: 'user', content: 'cut' },
      { role: 'assistant', content: 'to the limit' },
      { role: 'user', content: 'next' },
    ])
  })

  it('takes an answer without an end for a broken one', async () => {
    const { exchanges } = await talk({ hello: { unfinished: true } })
    expect(exchanges[0]).toMatchObject({ outcome: 'failed', answer: 'Hello!' })
    expect(exchanges[0]!.problem).toBe('The answer ended before it was complete.')
  })

  it('forgets everything from an exchange on', async () => {
    const conversation = await talk({ one: {}, two: {}, three: {} })
    conversation.truncate(conversation.exchanges[1]!)
    expect(conversation.exchanges.map(({ question }) => question)).toEqual(['one'])
  })
})

describe('an exported conversation', () => {
  it('is JSON with the parameters, the end of every answer and when it came', async () => {
    const conversation = await talk({
      whole: { pieces: ['yes'] },
      broken: { pieces: ['ha'], before: breaks },
    })
    const { exported, system, exchanges } = JSON.parse(toJson(conversation, 'Be brief.', NOW))
    expect({ exported, system }).toEqual({ exported: '2026-01-02T03:04:05.000Z', system: 'Be brief.' })
    expect(exchanges[0]).toMatchObject({
      question: 'whole',
      answer: 'yes',
      outcome: 'complete',
      reason: 'stop',
    })
    expect(exchanges[0].parameters).toEqual({ temperature: 0 })
    expect(exchanges[0].usage).toEqual({ promptTokens: 5, completionTokens: 1 })
    expect(exchanges[0].firstTokenMs).toBeLessThanOrEqual(exchanges[0].totalMs)
    expect(exchanges[1]).toMatchObject({ outcome: 'failed', problem: 'The connection broke.' })
  })

  it('is Markdown in which a broken answer says so, and no open fence swallows what follows', async () => {
    const conversation = await talk({
      'two\nlines': { pieces: ['```sh\nls', '\n```'], before: breaks },
      next: { pieces: ['fine'] },
    })
    expect(toMarkdown(conversation, '', NOW)).toBe(`# Conversation

Exported 2026-01-02T03:04:05.000Z.

## Question

> two
> lines

## Answer of fake-model (the server)

\`\`\`sh
ls
\`\`\`

*Incomplete: the answer broke off. The connection broke.*

## Question

> next

## Answer of fake-model (the server)

fine
`)
  })
})
