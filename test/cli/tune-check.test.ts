import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import type { Winner } from '../../src/eval/sxs/preference.ts'
import { fairJudge, scripted } from '../eval/sxs/judging.ts'
import { fileOf, freshFolder, removeFolders, sxsRun } from '../tune/preference/kit.ts'
import { said } from './in-process.ts'

/** Verdicts of which so many in a hundred are for the checkpoint. */
const winners = (wins: number): Winner[] => Array.from({ length: 100 }, (_, at) => (at < wins ? 'a' : 'b'))

const metrics = (rise: number): Promise<string> =>
  fileOf(
    'metrics.jsonl',
    Array.from({ length: 60 }, (_, at) => {
      const more = { reward: rise * at + (at % 3) / 10, kl: at / 20, length: 80 }
      return `${JSON.stringify({ facet: 'step', step: at + 1, steps: 60, loss: 0.1, ...more })}\n`
    }).join(''),
  )

afterEach(removeFolders)
afterEach(() => {
  process.exitCode = 0
})

describe('facet tune check', () => {
  const check = async (rise: number, shares: readonly number[]): Promise<{ told: string; out: string }> => {
    const out = await freshFolder()
    const runs = await Promise.all(shares.map((share) => sxsRun('policy', 'start', winners(share))))
    const args = runs.flatMap((run, at) => ['--run', `${20 * (at + 1)}=${run}`])
    return { told: await said('tune', 'check', await metrics(rise), ...args, '--out', out), out }
  }

  it('flags a reward that rises while people would like the answers less, and exits with 3', async () => {
    const { told, out } = await check(0.1, [70, 50, 25])
    expect(told).toContain('Reward hacking: from step')
    expect(told).toMatch(/60 +25\.0 +\[1\d\.\d, 3\d\.\d\] +25 +0 +75/)
    expect(process.exitCode).toBe(3)
    expect(JSON.parse(await readFile(join(out, 'check.json'), 'utf8')).flags[0].kind).toBe('reward-hacking')
    const charts = await readFile(join(out, 'charts.svg'), 'utf8')
    for (const title of ['Reward', 'KL divergence', 'Win rate against the start'])
      expect(charts).toContain(title)
  })

  it('flags nothing where both rise', async () => {
    const { told } = await check(0.1, [55, 65, 70])
    expect(told).toContain('Nothing is flagged.')
    expect(process.exitCode).toBe(0)
  })

  it('refuses runs against different starts, and steps that are named twice', async () => {
    const [one, other] = [
      await sxsRun('policy', 'start', winners(50)),
      await sxsRun('policy', 'else', winners(50)),
    ]
    const file = await metrics(0.1)
    const run = (second: string): Promise<string> =>
      said('tune', 'check', file, '--run', `10=${one}`, '--run', second, '--out', join(file, '..', 'out'))
    await expect(run(`20=${other}`)).rejects.toThrow(/^The runs compare with different models, start at here/)
    await expect(run(`10=${one}`)).rejects.toThrow('Step 10 is named twice; give each step one run.')
  })

  it('says that a judge is needed to compare checkpoints', async () => {
    const file = await metrics(0.1)
    await expect(said('tune', 'check', file, '--policy', '10=model', '--out', 'nowhere')).rejects.toThrow(
      '--policy compares with the start and needs a judge',
    )
  })

  describe('with models', () => {
    let served: Served
    const [longer, start] = [
      scripted('longer', () => 'An answer that is longer than the other one.'),
      scripted('start', () => 'A short answer.'),
    ]
    beforeAll(async () => {
      served = await serve({ app: createEdge({ backends: [longer, start, fairJudge()] }), port: 0 })
    })
    afterAll(() => served.close(0))

    it('has checkpoints judged against the start, side by side', async () => {
      const out = await freshFolder()
      const url = `${served.url}/v1`
      const models = ['--start', `${url}#start-model`, '--judge', `${url}#judge-model`]
      const prompts = ['--prompts', 'safety', '--limit', '3', '--out', out]
      const told = await said(
        'tune',
        'check',
        await metrics(0.1),
        '--policy',
        `30=${url}#longer-model`,
        ...models,
        ...prompts,
      )
      expect(told).toMatch(/30 +100\.0 /)
      expect(told).toContain('Nothing is flagged.')
      expect(JSON.parse(await readFile(join(out, 'step-30', 'settings.json'), 'utf8')).kind).toBe(
        'side-by-side',
      )
    })
  })
})

describe('facet tune scores', () => {
  it('says how good a reward model is, with a page', async () => {
    const lines = Array.from({ length: 30 }, (_, at) => {
      const right = at % 5 > 0
      const row = { line: at + 1, prompt: `p${at}`, chosen: right ? 1 : 0, rejected: right ? 0 : 1 }
      return JSON.stringify({ ...row, chosen_tokens: 40 + at, rejected_tokens: 50 })
    })
    const out = await freshFolder()
    const told = await said('tune', 'scores', await fileOf('scores.jsonl', lines.join('\n')), '--out', out)
    expect(told).toMatch(/accuracy \(%\) +80\.0 +\[6\d\.\d, 90\.\d\] +30/)
    expect(JSON.parse(await readFile(join(out, 'quality.json'), 'utf8'))).toMatchObject({
      pairs: 30,
      prompts: 30,
    })
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('Reliability')
  })

  it('refuses a folder without scores', async () => {
    await expect(said('tune', 'scores', await freshFolder())).rejects.toThrow(
      /scores\.jsonl cannot be read \(ENOENT\)/,
    )
  })
})
