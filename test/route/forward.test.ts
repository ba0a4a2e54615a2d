import { describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { FacetError } from '../../src/errors.ts'
import { router } from '../../src/route/router.ts'
import type { Backend } from '../../src/types.ts'
import { type Actor, actor, fails, says } from './simulation.ts'

const down = (): FacetError => new FacetError('unavailable', 'Down.')

/** A backend that can also embed and tokenize; its own name's length stands for its model. */
function able(name: string, model: string, fail?: () => FacetError): Actor & { asked: () => number } {
  let asked = 0
  const answer = async <T>(value: T): Promise<T> => {
    asked++
    if (fail) throw fail()
    return value
  }
  return Object.assign(actor(name, fail ? fails(fail) : says(name), { id: model }), {
    asked: () => asked,
    embed: (texts: readonly string[]) => answer(texts.map(() => Float32Array.of(model.length))),
    tokenize: () => answer([model.length]),
    detokenize: (tokens: readonly number[]) => answer(`${name} ${tokens.join()}`),
    score: () => answer([[{ id: 1, text: name, logprob: -1 }]]),
  })
}

describe('a router', () => {
  it('hands scores, embeddings and tokens on to a backend that has them', async () => {
    const plain = actor('plain', says('plain'))
    const gemma = router([plain, able('engine', 'gemma-2b')])
    expect(await gemma.embed!(['a', 'b'])).toEqual([Float32Array.of(8), Float32Array.of(8)])
    expect(await gemma.tokenize!({ prompt: 'x' })).toEqual([8])
    expect(await gemma.detokenize!([1, 2])).toBe('engine 1,2')
    expect(await gemma.score!({ prompt: 'x', continuations: ['y'] })).toEqual([
      [{ id: 1, text: 'engine', logprob: -1 }],
    ])
  })

  it('offers only what some backend has', () => {
    const gemma: Backend = router([actor('plain', says('plain'))])
    expect([gemma.embed, gemma.score, gemma.tokenize, gemma.detokenize]).toEqual(Array(4).fill(undefined))
  })

  it('asks another backend of the same model when one fails, and never another model', async () => {
    const [first, second, other] = [able('a', 'gemma-2b', down), able('b', 'gemma-2b'), able('c', 'gemma-7b')]
    expect(await router([first, other, second]).detokenize!([3])).toBe('b 3')
    expect([first.asked(), other.asked()]).toEqual([1, 0])
    await expect(router([first, other]).embed!(['x'])).rejects.toMatchObject({ code: 'unavailable' })
    expect(other.asked()).toBe(0)
  })

  it('scores with the model that is named', async () => {
    const gemma = router([able('a', 'gemma-2b'), able('c', 'gemma-7b')])
    const scores = await gemma.score!({ model: 'gemma-7b', prompt: 'x', continuations: ['y'] })
    expect(scores[0]![0]!.text).toBe('c')
  })

  it('asks last whom it knows to fail, and nobody else where the request is at fault', async () => {
    const first = able('a', 'gemma-2b', down)
    const gemma = router([first, able('b', 'gemma-2b')], { breaker: { minFailures: 2 } })
    for (let n = 0; n < 5; n++) expect(await gemma.detokenize!([n])).toBe(`b ${n}`)
    expect(first.asked()).toBe(2)
    expect(gemma.health().get(first)!.state).toBe('open')

    const wrong = able('a', 'gemma-2b', () => new FacetError('invalid_request', 'Too many texts.'))
    const spare = able('b', 'gemma-2b')
    await expect(router([wrong, spare]).embed!(['x'])).rejects.toThrow('Too many texts.')
    expect(spare.asked()).toBe(0)
  })

  it('says so when those who could have gone', async () => {
    const pool: Backend[] = [able('a', 'gemma-2b')]
    const gemma = router(() => pool)
    pool.splice(0, 1, actor('plain', says('plain')))
    await expect(gemma.embed!(['x'])).rejects.toMatchObject({ code: 'unsupported' })
  })

  it('blames no backend for a policy that throws', async () => {
    const cause = new TypeError('undefined is not iterable')
    const policy = (): never => {
      throw cause
    }
    const asked = router([able('a', 'gemma-2b')], { policy }).chat({ prompt: 'x' })
    await expect(collect(asked)).rejects.toMatchObject({
      code: 'invalid_request',
      field: 'policy',
      message: 'The policy threw an error.',
      cause,
    })
  })
})
