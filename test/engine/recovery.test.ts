import { describe, expect, it } from 'vitest'
import { createEngine, type Engine } from '../../src/engine/backend.ts'
import type { Graph } from '../../src/engine/graph.ts'
import { type Replacement, recovering } from '../../src/engine/recovery.ts'
import { type ErrorCode, FacetError } from '../../src/errors.ts'
import { collect } from './collect.ts'
import { type FakeGraph, fakeGraph, letters, says } from './fake-graph.ts'

const TEXT = 'This goes on.'
const ask = (content: string) => ({ messages: [{ role: 'user', content }], temperature: 0 }) as const

interface Mortal extends FakeGraph {
  failure?: FacetError | undefined
}

/** Fails at its `deathStep`th step, counted from 1, and ever after. */
function mortal(name: string, deathStep = Infinity, code: ErrorCode = 'unavailable'): Mortal {
  const graph: Mortal = Object.assign(fakeGraph(says(TEXT)), { name })
  graph.onStep = () => {
    if (graph.steps.length >= deathStep) graph.failure ??= new FacetError(code, `${name} is gone.`)
    if (graph.failure) throw graph.failure
  }
  return graph
}

interface Setup {
  readonly engine: Engine
  readonly replaced: Replacement[]
  /** In the order in which they were opened. */
  readonly opened: Graph[]
}

/** Graphs that stand ready to take over; undefined: it does not open. */
function setUp(first: Graph, again: (Graph | undefined)[], fallback?: Graph, slots = 4): Setup {
  const replaced: Replacement[] = []
  const opened: Graph[] = [first]
  const open = (graph: Graph | undefined, what: string): Graph => {
    if (!graph) throw new FacetError('unsupported', `There is no ${what}.`)
    opened.push(graph)
    return graph
  }
  const graph = recovering(first, {
    again: async () => open(again.shift(), 'device'),
    fallback: async () => open(fallback, 'fallback'),
    onReplaced: (replacement) => replaced.push(replacement),
  })
  const engine = createEngine({ graph, tokenizer: letters, model: { id: 'fake' }, slots })
  return { engine, replaced, opened }
}

describe('a graph whose device is lost', () => {
  it.each([
    ['in the prompt', 1],
    ['in the middle of an answer', 5],
  ])('%s goes on with the same tokens on a new device', async (_, deathStep) => {
    const first = mortal('first', deathStep)
    const second = mortal('second')
    const { engine, replaced } = setUp(first, [second])
    const { text, reason, usage } = await collect(engine, ask('Hi'))
    expect([text, reason]).toEqual([TEXT, 'stop'])
    expect(usage.completionTokens).toBe(TEXT.length + 1)
    expect(replaced).toMatchObject([{ failure: { code: 'unavailable' }, graph: 'second' }])
    expect(first.disposed).toBe(true)
  })

  it('finishes every answer that was running, and those that waited', async () => {
    const second = mortal('second')
    const { engine } = setUp(mortal('first', 6), [second], undefined, 2)
    const answers = await Promise.all(['a', 'bb', 'ccc', 'dddd'].map((each) => collect(engine, ask(each))))
    expect(answers.map(({ text }) => text)).toEqual([TEXT, TEXT, TEXT, TEXT])
  })

  it('computes the tokens so far in one go, not one by one', async () => {
    const first = mortal('first', 5)
    const second = mortal('second')
    const { engine } = setUp(first, [second])
    await collect(engine, ask('Hi'))
    const prompt = first.steps[0]![0]!
    // Four steps were done: the prompt and three tokens.
    expect(second.steps.slice(0, 2)).toEqual([[prompt + 3], [1]])
  })

  it('scores on, with the right positions', async () => {
    const request = { prompt: 'x', continuations: [TEXT, TEXT.slice(0, 4)] }
    const undisturbed = setUp(mortal('first'), [])
    const { engine } = setUp(mortal('first', 3), [mortal('second')])
    expect(await engine.score!(request)).toEqual(await undisturbed.engine.score!(request))
  })

  it('takes the fallback when there is no new device', async () => {
    const { engine, replaced } = setUp(mortal('first', 3), [], mortal('fallback'))
    expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
    expect(replaced).toMatchObject([{ graph: 'fallback' }])
  })

  it('takes the fallback when the new device is soon lost too', async () => {
    const { engine, replaced } = setUp(
      mortal('first', 3),
      [mortal('second', 4), mortal('third')],
      mortal('fallback'),
    )
    expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
    expect(replaced.map(({ graph }) => graph)).toEqual(['second', 'fallback'])
  })

  it('is replaced again when that comes long after', async () => {
    const { engine, replaced } = setUp(mortal('first', 3), [mortal('second', 100), mortal('third')])
    for (let i = 0; i < 10; i++) expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
    expect(replaced.map(({ graph }) => graph)).toEqual(['second', 'third'])
  })

  it('fails what runs with every reason when nothing opens, and tries again with the next request', async () => {
    const again: (Graph | undefined)[] = [undefined, mortal('later')]
    const { engine, replaced } = setUp(mortal('first', 3), again)
    await expect(collect(engine, ask('Hi'))).rejects.toMatchObject({
      code: 'unavailable',
      message: 'first is gone. It could not be replaced: There is no device. There is no fallback.',
    })
    expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
    expect(replaced).toMatchObject([{ graph: 'later' }])
  })

  it('is replaced when it is lost while nothing runs', async () => {
    const first = mortal('first')
    const { engine } = setUp(first, [mortal('second')])
    await collect(engine, ask('Hi'))
    first.failure = new FacetError('unavailable', 'first is gone.')
    expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
  })
})

describe('a graph that refuses to go on', () => {
  it.each(['out_of_memory', 'internal'] as const)('with %s is not opened a second time', async (code) => {
    const { engine, replaced } = setUp(mortal('first', 3, code), [mortal('second')], mortal('fallback'))
    expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
    expect(replaced).toMatchObject([{ failure: { code }, graph: 'fallback' }])
  })

  it('is not replaced for an error of one step', async () => {
    const first = mortal('first')
    const { engine, opened } = setUp(first, [mortal('second')], mortal('fallback'))
    first.onStep = () => {
      throw new FacetError('internal', 'This step was wrong.')
    }
    await expect(collect(engine, ask('Hi'))).rejects.toMatchObject({ message: 'This step was wrong.' })
    first.onStep = () => {}
    expect((await collect(engine, ask('Hi'))).text).toBe(TEXT)
    expect(opened).toEqual([first])
  })
})
