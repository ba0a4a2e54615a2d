/** Judged pairs from files, transcripts and runs: what is read, and what is said of what cannot be. */
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { FacetError } from '../../../src/errors.ts'
import { Ratings } from '../../../src/eval/rate/ratings.ts'
import { Row } from '../../../src/eval/row.ts'
import type { Judged } from '../../../src/tune/preference/judged.ts'
import { readJudged } from '../../../src/tune/preference/judged-files.ts'
import { toJudged } from '../../../src/tune/preference/judged-rows.ts'
import { parquetOf } from '../../eval/parquet.ts'
import { fileOf, removeFolders, sxsRun } from './kit.ts'

afterEach(removeFolders)

const rowOf = (fields: Readonly<Record<string, unknown>>): Judged =>
  toJudged(new Row(fields, { file: 'pairs.jsonl', line: 7 }))

const asked = (content: string) => [{ role: 'user', content }]

describe('a row', () => {
  it('has a prompt, a chosen and a rejected answer', () => {
    expect(rowOf({ prompt: 'Hi?', chosen: 'Hello!', rejected: 'What?', margin: '1.5' })).toEqual({
      place: 'pairs.jsonl, line 7',
      prompt: asked('Hi?'),
      a: 'Hello!',
      b: 'What?',
      winner: 'a',
      verdicts: [],
      margin: 1.5,
    })
  })

  it('has the same as messages', () => {
    const prompt = [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hi?' },
      { role: 'model', content: 'Hello!' },
      { role: 'user', content: 'How are you?' },
    ]
    const answer = (content: string) => [{ role: 'assistant', content }]
    const { a, b, prompt: read } = rowOf({ prompt, chosen: answer('Fine.'), rejected: answer('Go.') })
    expect([a, b]).toEqual(['Fine.', 'Go.'])
    expect(read.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
  })

  it('has two whole conversations that part at their last answers', () => {
    const start = '\n\nHuman: Hi?\n\nAssistant: Hello! Human: or not?\n\nHuman: Say more.\n\nAssistant:'
    const read = rowOf({ chosen: `${start} With pleasure.`, rejected: `${start} No.` })
    expect(read.prompt.map(({ role, content }) => `${role}: ${content}`)).toEqual([
      'user: Hi?',
      'assistant: Hello! Human: or not?',
      'user: Say more.',
    ])
    expect([read.a, read.b]).toEqual(['With pleasure.', 'No.'])
  })

  it('has two answers and says which won, or neither, and which stood first', () => {
    const row = { prompt: 'Hi?', a: 'Hello!', b: 'What?', first: 'b', model_a: 'gemma', model_b: 'llama' }
    expect(rowOf({ ...row, winner: 'b' })).toMatchObject({
      winner: 'b',
      players: { a: 'gemma', b: 'llama' },
      verdicts: [{ first: 'b', winner: 'b' }],
    })
    expect(rowOf({ ...row, winner: 'tie' }).winner).toBe('tie')
  })

  it.each([
    [{ prompt: 'Hi?', chosen: 'Hello!' }, 'needs prompt, chosen and rejected, or prompt, a, b and winner'],
    [{ prompt: 7, chosen: 'a', rejected: 'b' }, 'prompt must be a list'],
    [{ prompt: ' ', chosen: 'a', rejected: 'b' }, 'prompt is empty'],
    [{ prompt: 'Hi?', chosen: 'a', rejected: 'b', margin: -1 }, 'margin is -1, but must not be negative'],
    [
      { prompt: 'Hi?', a: 'a', b: 'b', winner: 'c' },
      'winner must be a, b, tie, model_a, model_b, but is "c"',
    ],
    [
      { prompt: [{ role: 'tool', content: 'x' }], chosen: 'a', rejected: 'b' },
      'role must be system, user, assistant, model, but is "tool"',
    ],
    [
      {
        prompt: [
          { role: 'user', content: 'x' },
          { role: 'user', content: 'y' },
        ],
        chosen: 'a',
        rejected: 'b',
      },
      "prompt has turn 2 of the user, where the assistant's is due",
    ],
    [
      { prompt: 'Hi?', chosen: [{ role: 'user', content: 'x' }], rejected: 'b' },
      'chosen must be a text, or a list with one message of the assistant',
    ],
    [{ chosen: 'Hello!', rejected: 'What?' }, 'chosen has no turn that begins with Human: or Assistant:'],
    [
      { chosen: '\n\nHuman: A?\n\nAssistant: b', rejected: '\n\nHuman: C?\n\nAssistant: d' },
      'chosen and rejected part before their last answers',
    ],
    [
      { chosen: '\n\nHuman: A?', rejected: '\n\nHuman: A?\n\nAssistant: d' },
      'chosen ends without an answer of the assistant',
    ],
  ])('is refused with its file and line: %j', (fields, problem) => {
    const sentence = `pairs.jsonl, line 7: ${problem}`
    expect(() => rowOf(fields)).toThrow(sentence)
  })

  it('of any kind is read, or refused in one sentence', () => {
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom('a', 'b', 'tie', '\n\nHuman: x\n\nAssistant: y'),
      fc.array(fc.record({ role: fc.constantFrom('user', 'assistant', 'no'), content: fc.string() }), {
        maxLength: 3,
      }),
      fc.jsonValue(),
    )
    const fields = [
      'prompt',
      'chosen',
      'rejected',
      'a',
      'b',
      'winner',
      'first',
      'margin',
      'model_a',
      'chosen_model',
    ]
    const row = fc.record(Object.fromEntries(fields.map((field) => [field, value])), { requiredKeys: [] })
    fc.assert(
      fc.property(row, (given) => {
        try {
          const { prompt, a, b } = rowOf(given)
          expect(prompt.at(-1)!.role).toBe('user')
          expect(typeof a + typeof b).toBe('stringstring')
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
          expect((error as FacetError).message).toMatch(
            /^pairs\.jsonl, line 7: .+; mend the row, or remove it\.$/s,
          )
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('files and runs', () => {
  it('are read whatever their format', async () => {
    const lines = await fileOf('pairs.jsonl', '{"prompt":"A?","chosen":"x","rejected":"y"}\n')
    const parquet = await fileOf(
      'pairs.parquet',
      parquetOf({ prompt: ['B?'], chosen: ['x'], rejected: ['y'] }),
    )
    const csv = await fileOf('pairs.csv', 'prompt,chosen,rejected,margin\n"C, or\nnot?",x,y,0.5\n')
    const { judged } = await readJudged([lines, parquet, csv])
    expect(judged.map(({ prompt }) => prompt[0]!.content)).toEqual(['A?', 'B?', 'C, or\nnot?'])
    expect(judged[2]!.margin).toBe(0.5)
  })

  it('that hold something else are refused with their line', async () => {
    const rows = await fileOf('pairs.jsonl', '{"prompt":"A?","chosen":"x","rejected":"y"}\n\n[1]\n')
    await expect(readJudged([rows])).rejects.toThrow(/pairs\.jsonl, line 3: it is no object; mend the row/)
    const broken = await fileOf('pairs.jsonl', '{"prompt":"A?",\n')
    await expect(readJudged([broken])).rejects.toThrow(/pairs\.jsonl, line 1: it is no JSON; mend the row/)
    await expect(readJudged([await fileOf('pairs.jsonl', '')])).rejects.toThrow(/is empty; leave it out/)
  })

  it('of facet eval sxs give the verdict of the judge, and leave out pairs without one', async () => {
    const run = await sxsRun('tuned', 'stock', ['a', 'b', 'tie', null])
    const { judged, unjudged } = await readJudged([run])
    expect(judged.map(({ winner }) => winner)).toEqual(['a', 'b', 'tie'])
    expect(judged[0]).toMatchObject({
      players: { a: 'tuned', b: 'stock' },
      prompt: asked('Question 1?'),
      verdicts: [
        { first: 'a', winner: 'a' },
        { first: 'b', winner: 'a' },
      ],
    })
    expect(unjudged).toBe(1)
  })

  it('that people have rated give what most of them say, unless the judge is asked for', async () => {
    const run = await sxsRun('tuned', 'stock', ['a', 'a'])
    const ratings = new Ratings(run)
    for (const [rater, winner] of [
      ['ann', 'b'],
      ['ben', 'b'],
      ['cid', 'a'],
    ] as const) {
      ratings.save({ rater, pair: 'mine-1', winner, first: 'a' })
    }
    ratings[Symbol.dispose]()
    const { judged, unjudged } = await readJudged([run])
    expect(judged.map(({ winner, verdicts }) => [winner, verdicts.length])).toEqual([['b', 3]])
    expect(unjudged).toBe(1)
    expect((await readJudged([run], 'judge')).judged.map(({ winner }) => winner)).toEqual(['a', 'a'])
  })

  it('that nobody has rated are refused where people are asked for', async () => {
    const run = await sxsRun('tuned', 'stock', ['a'])
    await expect(readJudged([run], 'people')).rejects.toThrow(/^Nobody has rated .+ yet; let people do it/)
  })

  it('that are not there are refused', async () => {
    await expect(readJudged(['nowhere.jsonl'])).rejects.toThrow('nowhere.jsonl cannot be read (ENOENT)')
  })
})
