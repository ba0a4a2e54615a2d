import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { FacetError } from '../../src/errors.ts'
import { type EscalationOptions, escalation } from '../../src/route/escalation.ts'
import { router } from '../../src/route/router.ts'
import type { Attempt, ChatEvent, ChatRequest } from '../../src/types.ts'
import { type Actor, actor, fails, finish, type Plot, says, start, text } from './simulation.ts'

const QUESTION: ChatRequest = { messages: [{ role: 'user', content: 'Why?' }], logprobs: 0 }

const tokens = (count: number, logprob?: number): Plot =>
  async function* () {
    yield start('edge')
    for (let n = 0; n < count; n++) yield logprob === undefined ? text('e') : text('e', logprob)
    yield finish()
  }

async function ask(
  edge: Plot,
  options: EscalationOptions,
  request: ChatRequest = QUESTION,
  cloud: Actor = actor('cloud', says('cloud'), { tier: 7 }),
): Promise<{ text: string; attempts: string[] }> {
  const attempts: string[] = []
  const onAttempt = ({ backend, reason, outcome }: Attempt): void => {
    attempts.push(`${backend} ${reason} ${outcome}`)
  }
  const gemma = router([cloud, actor('edge', edge, { tier: 2 })], {
    ...escalation(options),
    random: () => 0,
  })
  const { text: said } = await collect(gemma.chat(request, { onAttempt }))
  return { text: said, attempts }
}

const ESCALATED = ['edge first rejected', 'cloud escalation answered']
const STAYED = ['edge first answered']

describe('edge first', () => {
  it('stays with the small model while it does well', async () => {
    const options = { minConfidence: 0.5, maxAnswerTokens: 100, maxPromptTokens: 100, guard: () => true }
    expect(await ask(tokens(10, -0.1), options)).toEqual({ text: 'e'.repeat(10), attempts: STAYED })
  })

  it('escalates when its tokens are improbable, and not where nothing is known of them', async () => {
    const options = { minConfidence: 0.5 }
    expect(await ask(tokens(40, -2), options)).toEqual({ text: 'cloud', attempts: ESCALATED })
    expect((await ask(tokens(40), options)).attempts).toEqual(STAYED)
  })

  it('asks for the log-probabilities that it judges by, and keeps them from who did not ask', async () => {
    const request: ChatRequest = { messages: [{ role: 'user', content: 'Why?' }] }
    const cloud = actor('cloud', says('cloud'), { tier: 7 })
    const unsure = (logprob: number): Plot =>
      async function* ({ request }) {
        yield* tokens(3, request.logprobs === undefined ? undefined : logprob)({} as never)
      }
    expect((await ask(unsure(-2), { minConfidence: 0.5 }, request, cloud)).attempts).toEqual(ESCALATED)
    // Nobody judges the last one: a server without log-probabilities would refuse.
    expect(cloud.calls[0]!.request).toEqual(request)
    expect((await ask(unsure(-2), {}, request)).attempts).toEqual(STAYED)

    const edge = actor('edge', unsure(-0.1), { tier: 2 })
    const gemma = router([edge, cloud], escalation({ minConfidence: 0.5 }))
    const events: ChatEvent[] = []
    for await (const event of gemma.chat(request)) events.push(event)
    expect(events.slice(1, -1)).toEqual([text('e'), text('e'), text('e')])
    expect((await collect(gemma.chat({ ...request, logprobs: 2 }))).logprobs).toHaveLength(3)
    expect(edge.calls.map(({ request }) => request.logprobs)).toEqual([0, 2])

    const plain = actor('edge', says('edge'), { tier: 2, features: ['tools'] })
    await collect(router([plain, cloud], escalation({ minConfidence: 0.5 })).chat(request))
    expect(plain.calls[0]!.request.logprobs).toBeUndefined()
  })

  it('escalates when the guard says no to what is held back', async () => {
    const seen: [string, boolean][] = []
    const guard = (said: string, whole: boolean): boolean => {
      seen.push([said, whole])
      return false
    }
    expect((await ask(tokens(3), { guard })).attempts).toEqual(ESCALATED)
    expect((await ask(tokens(9), { guard, holdTokens: 4 })).attempts).toEqual(ESCALATED)
    expect(seen).toEqual([
      ['eee', true],
      ['eeee', false],
    ])
  })

  it('ends the call where the guard throws, and does not blame the backend', async () => {
    const guard = (): boolean => {
      throw new RangeError('broken guard')
    }
    await expect(ask(tokens(3), { guard })).rejects.toMatchObject({
      code: 'invalid_request',
      field: 'commit',
      cause: expect.any(RangeError),
    })
  })

  it('escalates answers that grow too long, and asks the large model at once about long prompts', async () => {
    expect((await ask(tokens(6), { maxAnswerTokens: 5 })).attempts).toEqual(ESCALATED)
    expect((await ask(tokens(5), { maxAnswerTokens: 5 })).attempts).toEqual(STAYED)
    const long: ChatRequest = { messages: [{ role: 'user', content: 'x'.repeat(500) }] }
    expect((await ask(tokens(1), { maxPromptTokens: 100 }, long)).attempts).toEqual(['cloud first answered'])
  })

  it('never takes back a word: what comes after the words held back is not judged', async () => {
    const turns: Plot = async function* () {
      yield start('edge')
      for (let n = 0; n < 8; n++) yield text('good ', -0.01)
      for (let n = 0; n < 8; n++) yield text('bad ', -9)
      yield finish()
    }
    const { text: said, attempts } = await ask(turns, { minConfidence: 0.5, holdTokens: 8 })
    expect(said).toBe('good '.repeat(8) + 'bad '.repeat(8))
    expect(attempts).toEqual(STAYED)
    // Nothing is delivered before the decision.
    const delivered: ChatEvent[] = []
    const gemma = router([actor('edge', turns, { tier: 2 }), actor('cloud', says('cloud'), { tier: 7 })], {
      ...escalation({ guard: () => false, holdTokens: 4 }),
    })
    for await (const event of gemma.chat(QUESTION)) delivered.push(event)
    expect(delivered).toEqual([start('cloud'), text('cloud'), finish()])
  })

  it("gives the small model's answer where no larger one could answer", async () => {
    const down = actor(
      'cloud',
      fails(() => new FacetError('unavailable', 'Down.')),
      { tier: 7 },
    )
    const { text: said, attempts } = await ask(tokens(3, -5), { minConfidence: 0.5 }, QUESTION, down)
    expect(said).toBe('eee')
    expect(attempts.at(-1)).toBe('edge retry answered')
  })
})
