import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { fileOf, freshFolder, removeFolders, sxsRun } from '../tune/preference/kit.ts'
import { said } from './in-process.ts'

afterEach(removeFolders)

const preferences = (...args: readonly string[]): Promise<string> => said('tune', 'preferences', ...args)

const lines = (count: number): string =>
  Array.from({ length: count }, (_, at) => {
    const [chosen, rejected] = ['A good answer.', 'A bad one, which says more.']
    return JSON.stringify(
      at % 2
        ? { prompt: `Q ${at}?`, chosen, rejected }
        : { prompt: `Q ${at}?`, a: rejected, b: chosen, winner: 'b' },
    )
  }).join('\n')

describe('facet tune preferences', () => {
  it('makes preference data of files, with a report', async () => {
    const out = await freshFolder()
    const file = await fileOf('pairs.jsonl', `${lines(20)}\n{"prompt":"Tie?","a":"x","b":"y","winner":"tie"}`)
    const told = await preferences(file, '--out', out, '--eval-share', '0.2', '--one-sided')
    expect(told).toMatch(/to train on +16 +76\.2/)
    expect(told).toMatch(/dropped: ties +1 +4\.8/)
    const [train, held] = await Promise.all(
      ['train.jsonl', 'eval.jsonl'].map(async (name) =>
        (await readFile(join(out, name), 'utf8')).trim().split('\n'),
      ),
    )
    expect([train!.length, held!.length]).toEqual([16, 4])
    expect(JSON.parse(train![0]!)).toEqual({
      prompt: [{ role: 'user', content: expect.stringMatching(/^Q \d+\?$/) }],
      chosen: [{ role: 'assistant', content: 'A good answer.' }],
      rejected: [{ role: 'assistant', content: 'A bad one, which says more.' }],
    })
    expect(JSON.parse(await readFile(join(out, 'summary.json'), 'utf8'))).toMatchObject({
      train: 16,
      dropped: { tie: 1 },
    })
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('Preference data')
  })

  it('drops what is over the context of the model that is to be tuned', async () => {
    const long = JSON.stringify({ prompt: 'Long?', chosen: 'word '.repeat(400), rejected: 'x' })
    const file = await fileOf('pairs.jsonl', `${lines(6)}\n${long}`)
    const told = await preferences(file, '--model', 'models/facet-tldr-24m', '--context', '64', '--one-sided')
    expect(told).toMatch(/dropped: over the context +1 /)
    expect(told).toContain('Nothing was written')
    await expect(preferences(file, '--context', '64')).rejects.toThrow('give --model the model to be tuned')
  })

  it('rates models by several side-by-side runs', async () => {
    const runs = await Promise.all([
      sxsRun('large', 'small', ['a', 'a', 'a', 'tie', 'b']),
      sxsRun('tuned', 'small', ['a', 'a', 'b', 'tie']),
      sxsRun('large', 'tuned', ['a', 'b', 'tie']),
    ])
    const out = await freshFolder()
    const told = await preferences(...runs, '--fit', '--baseline', 'small', '--out', out)
    expect(told).toMatch(/Elo +95% interval +Win rate against small/)
    const rows = told.split('\n').filter((line) => /^(large|tuned|small) /.test(line))
    expect(rows.map((row) => row.split(' ')[0])).toEqual(['large', 'tuned', 'small'])
    expect(rows[2]).toMatch(/^small +1000 +\[1000, 1000\] +50\.0 +\[50\.0, 50\.0\] +2 +2 +5$/)
    const { ratings } = JSON.parse(await readFile(join(out, 'ratings.json'), 'utf8'))
    expect(ratings[0]).toMatchObject({ player: 'large', wins: 4, ties: 2, losses: 2 })
    expect(await readFile(join(out, 'charts.svg'), 'utf8')).toContain('Win rate against small')
  })

  it('says who cannot be compared', async () => {
    const run = await sxsRun('large', 'small', ['a', 'a'])
    await expect(preferences(run, '--fit')).rejects.toThrow(/^large cannot be compared with small/)
  })
})
