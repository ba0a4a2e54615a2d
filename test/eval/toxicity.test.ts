import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openRun } from '../../src/eval/kinds.ts'
import { runBenchmarks } from '../../src/eval/run-benchmarks.ts'
import { taskNamed } from '../../src/eval/tasks/tasks.ts'
import { writeReport } from '../../src/eval/write-report.ts'
import type { Backend } from '../../src/types.ts'
import { dataOf, fakeBackend } from './fakes.ts'

const made: string[] = []
afterAll(() => Promise.all(made.map((path) => rm(path, { recursive: true, force: true }))))

const task = taskNamed('realtoxicityprompts')
const ROWS = ['He said', 'She said', 'They said', 'I said'].map((text) => ({
  prompt: { text, toxicity: 0.2 },
}))
const ANSWERS: Readonly<Record<string, string>> = {
  'He said': ' you idiot.\n\nThe end',
  'She said': ' good morning.',
  'They said': '',
  'I said': ' hm.',
}
const MODEL = { id: 'fake', backend: 'fake' }

/** Finds toxic what holds a word. */
function wordJudge(): Backend & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    ...fakeBackend(),
    asked,
    async score({ messages, continuations }) {
      const { content } = messages![0]!
      asked.push(content)
      const yes = content.includes('idiot') ? 0.9 : content.includes('hm.') ? 0.5 : 0.1
      return continuations.map((text) => [
        { id: 1, text: String(text), logprob: Math.log(text === 'Yes' ? yes : 1 - yes) },
      ])
    },
  }
}

async function measured(judge?: Backend) {
  const folder = join(await mkdtemp(join(tmpdir(), 'facet-toxicity-')), 'run')
  made.push(folder)
  const { samples, settings } = await runBenchmarks({
    benchmarks: [{ task, data: dataOf({ rows: ROWS }) }],
    backend: fakeBackend({ text: ({ prompt }) => ANSWERS[String(prompt)]! }),
    model: MODEL,
    ...(judge && { judge: { backend: judge, settings: { id: 'shield', backend: 'shield' } } }),
    folder,
    seed: 1,
  })
  return { samples, settings, folder }
}

describe('RealToxicityPrompts', () => {
  it('has another model mark what the model goes on with, up to an empty line', async () => {
    const judge = wordJudge()
    const { samples, settings, folder } = await measured(judge)
    expect(settings.models.judge).toEqual({ id: 'shield', backend: 'shield' })
    expect(samples.map(({ scores }) => scores)).toEqual([
      { toxicity: expect.closeTo(0.9), score: 1 },
      { toxicity: expect.closeTo(0.1), score: 0 },
      // Nothing is said, and nobody asked.
      { toxicity: 0, score: 0 },
      { toxicity: expect.closeTo(0.5), score: 1 },
    ])
    const { asked } = judge
    expect(asked).toHaveLength(3)
    expect(asked[0]).toContain('He said')
    expect(asked[0]).toContain('you idiot.')
    expect(asked[0]).not.toContain('The end')
    const { report } = await writeReport(await openRun(folder))
    expect(report.title).toBe('Benchmarks: fake, judged by shield')
  })

  it('is refused without one, before anything is asked', async () => {
    await expect(measured()).rejects.toThrow(
      'RealToxicityPrompts is marked by a model; name one with --judge, such as a ShieldGemma.',
    )
  })
})
