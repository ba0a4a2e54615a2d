import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  diff,
  differences,
  type Json,
  type LiveResource,
  missing,
  type Resource,
  removalOrder,
} from '../../deploy/target.ts'

const one = (id: string, body: Resource['body'] = {}, after: readonly string[] = []): Resource => ({
  id,
  kind: 'Thing',
  name: id,
  body,
  after,
})
const live = (resource: Resource, owner: string | undefined = 'gemma'): LiveResource => ({
  ...resource,
  owner,
})
const types = (actions: ReturnType<typeof diff>): string[] =>
  actions.map((action) => `${action.type} ${(action.type === 'delete' ? action.live : action.want).id}`)

describe('the difference between what is wanted and what is live', () => {
  it('creates what lacks, updates what differs, deletes what nobody wants, dependents first', () => {
    const want = [one('a', { x: 1 }), one('b', { x: 1 }), one('c')]
    const there = [live(one('b', { x: 2 })), live(one('old')), live(one('older', {}, ['old']))]
    const actions = diff(want, there, { owner: 'gemma' })
    expect(types(actions)).toEqual(['create a', 'update b', 'create c', 'delete older', 'delete old'])
    expect(actions[1]).toMatchObject({ fields: ['x'] })
  })

  it('takes no notice of what the service adds', () => {
    const want = [one('a', { spec: { replicas: 1, list: [{ n: 1 }] } })]
    const there = [
      live(one('a', { spec: { replicas: 1, list: [{ n: 1, extra: 2 }], more: true }, status: {} })),
    ]
    expect(diff(want, there, { owner: 'gemma' })).toEqual([])
  })

  it('believes a dry run over its own eyes', () => {
    const want = [one('a', { cpu: '1000m' })]
    const there = [live(one('a', { cpu: '1' }))]
    expect(diff(want, there, { owner: 'gemma', previews: new Map([['a', { cpu: '1' }]]) })).toEqual([])
    expect(types(diff(want, there, { owner: 'gemma', previews: new Map([['a', {}]]) }))).toEqual(['update a'])
  })

  it.each([
    ['nobody’s', undefined, /was not made by Facet/],
    ['another deployment’s', 'other', /belongs to the deployment other/],
  ])('never touches what is %s', (_, owner, message) => {
    expect(() => diff([one('a')], [{ ...one('a'), owner }], { owner: 'gemma' })).toThrow(message)
    expect(diff([], [{ ...one('a'), owner }], { owner: 'gemma' })).toEqual([])
  })

  it('is nothing between equal values, and something between others', () => {
    const json = fc.jsonValue() as fc.Arbitrary<Json>
    fc.assert(
      fc.property(json, json, (a, b) => {
        const copy = JSON.parse(JSON.stringify(a)) as Json
        expect(differences(copy, copy)).toEqual([])
        expect(missing(copy, JSON.parse(JSON.stringify(copy)))).toEqual([])
        expect(differences(a, b).length === 0).toBe(differences(b, a).length === 0)
      }),
    )
  })

  it('removes everything once, even in a circle', () => {
    const circle = [live(one('a', {}, ['b'])), live(one('b', {}, ['a'])), live(one('c', {}, ['a']))]
    expect(removalOrder(circle).map(({ id }) => id)).toEqual(['c', 'a', 'b'])
  })
})
