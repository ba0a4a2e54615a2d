/** The gates of a release, on the sample model and on runs that are made for them; and the card. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { load } from 'js-yaml'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { inspect } from '../../src/convert/inspect.ts'
import { FacetError } from '../../src/errors.ts'
import { openRun } from '../../src/eval/kinds.ts'
import { writeReport } from '../../src/eval/write-report.ts'
import { toCard } from '../../src/release/card.ts'
import type { Finding } from '../../src/release/gate.ts'
import { DEFAULT_LIMITS, toLimits } from '../../src/release/limits.ts'
import { benchmarkFinding, dataFinding, readDataSummary } from '../../src/release/measured.ts'
import { PROBES } from '../../src/release/probes.ts'
import type { Release } from '../../src/release/release.ts'
import { askProbes, safetyFinding } from '../../src/release/safety.ts'
import type { Backend } from '../../src/types.ts'
import { facet } from '../cli/facet.ts'
import { said } from '../cli/in-process.ts'
import { question, removeFolders, storedRun } from '../eval/stored-run.ts'

const MODEL = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))
const BENCHMARKS = fileURLToPath(new URL('../fixtures/benchmarks', import.meta.url))
const QUESTIONS = join(BENCHMARKS, 'arc')
const GOLDEN = new URL('../golden/facet-tldr-24m-eval.json', import.meta.url)
const HASH = 'b'.repeat(64)

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'facet-release-'))
})
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(async () => {
  // A release that fails says so to the process.
  process.exitCode = undefined
  await removeFolders()
})

const place = (name: string): string => join(folder, name)
const write = (name: string, content: unknown): string => {
  writeFileSync(place(name), typeof content === 'string' ? content : JSON.stringify(content))
  return place(name)
}
const outcomes = ({ gates }: Release): Record<string, string> =>
  Object.fromEntries(gates.map(({ gate, outcome }) => [gate, outcome]))
const releaseIn = (name: string): Release =>
  JSON.parse(readFileSync(join(place(name), 'release.json'), 'utf8'))

describe('facet release on the sample model', () => {
  it('fails for what the model has learnt by heart, and says so in table, JSON, page and card', async () => {
    const { train_documents: documents } = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Record<
      string,
      string[]
    >
    const corpus = write('trained.jsonl', documents!.map((text) => JSON.stringify({ text })).join('\n'))
    const gates = write('gates.json', { memorization: { samples: 6, leastSamples: 6 } })
    const out = place('trained')
    const { code, stdout, stderr } = await facet([
      'release',
      MODEL,
      '--out',
      out,
      '--corpus',
      corpus,
      '--gates',
      gates,
    ])
    expect(code).toBe(3)
    expect(stdout).toMatch(/^memorization +failed +\d+\.\d% of the documents are given back exactly/m)
    expect(stderr).toContain('manifest: passed')
    expect(outcomes(releaseIn('trained'))).toEqual({
      terms: 'passed',
      manifest: 'passed',
      verify: 'not run',
      benchmark: 'not run',
      safety: 'not run',
      memorization: 'failed',
      'personal-data': 'passed',
      data: 'not run',
    })
    const page = readFileSync(join(out, 'release.html'), 'utf8')
    expect(page).toContain('Not to be released: memorization failed.')
    const card = readFileSync(join(out, 'README.md'), 'utf8')
    expect(card).toMatch(/\| Memorization \| exact \| \d/)
    expect(card).toContain('| benchmark | not run | No run to compare with')
  })

  it('measures the model as the baseline was measured, and passes what is as good', async () => {
    const baseline = place('baseline')
    const measure = ['run', 'arc_easy', '--model', MODEL, '--data', QUESTIONS, '--limit', '6']
    await said('eval', ...measure, '--out', baseline)
    const args = ['--baseline', baseline, '--benchmark-data', QUESTIONS, '--out', place('same'), '--json']
    expect(outcomes(JSON.parse(await said('release', MODEL, ...args))).benchmark).toBe('passed')
    const card = readFileSync(join(place('same'), 'README.md'), 'utf8')
    const [, front] = card.split('---\n')
    expect(load(front!)).toMatchObject({
      license: 'cc-by-4.0',
      pipeline_tag: 'text-generation',
      'model-index': [
        { results: [{ dataset: { name: 'ARC-e' }, metrics: [{ value: expect.any(Number) }] }] },
      ],
    })
  })

  it('measures anew what a task always shows solved examples of', async () => {
    const [baseline, anew] = [place('baseline-bbh'), place('anew-bbh')]
    const measure = ['run', 'bbh_cot_fewshot', '--model', MODEL, '--data', BENCHMARKS, '--limit', '1']
    await said('eval', ...measure, '--out', baseline)
    await said('release', MODEL, '--baseline', baseline, '--benchmark-data', BENCHMARKS, '--out', anew)
    const [before, after] = await Promise.all([baseline, join(anew, 'benchmarks')].map(openRun))
    expect(before!.settings.tasks).toMatchObject([{ name: 'bbh_cot_fewshot', shots: 3 }])
    expect(after!.settings.tasks).toEqual(before!.settings.tasks)
  })

  it('fails for a file that differs from the manifest, and for a gate that must run and cannot', async () => {
    const copy = place('copy')
    cpSync(MODEL, copy, { recursive: true })
    const changed = join(copy, 'tokenizer.model')
    const bytes = readFileSync(changed)
    bytes[1000]! ^= 1
    writeFileSync(changed, bytes)
    const gates = write('all.json', { required: ['manifest', 'data'] })
    const found: Release = JSON.parse(
      await said('release', copy, '--gates', gates, '--out', place('changed'), '--json'),
    )
    expect(found.passed).toBe(false)
    const reason = (name: string) => found.gates.find(({ gate }) => gate === name)?.reason
    expect(reason('manifest')).toMatch(/^tokenizer\.model differs between bytes 0 and/)
    expect(existsSync(join(place('changed'), 'README.md'))).toBe(false)
    expect(reason('data')).toMatch(/^It must run\. Nothing is known/)
  })

  it('fails a gate that was given something which is not there', async () => {
    const corpus = place('none.jsonl')
    const found: Release = JSON.parse(
      await said('release', MODEL, '--corpus', corpus, '--data', corpus, '--out', place('given'), '--json'),
    )
    expect(outcomes(found)).toMatchObject({
      memorization: 'failed',
      'personal-data': 'failed',
      data: 'failed',
    })
    expect(found.gates.find(({ gate }) => gate === 'memorization')?.reason).toBe(
      `${corpus} is not there; give a corpus with --corpus.`,
    )
  })

  it.each([
    [['release', '.'], /holds no facet\.json; give a directory made by facet convert/],
    [
      ['release', MODEL, '--gates', 'none.json'],
      /^none\.json is not there; give a JSON file with --gates\.$/,
    ],
    [['card', MODEL, '--run', '.'], /is no run; give a folder that facet eval has written/],
    [
      ['card', MODEL, '--data', 'none'],
      /^none is not there; give the folder that facet tune data has written\.$/,
    ],
  ])('answers %j with one sentence', async ([name, ...args], sentence) => {
    await expect(said(name!, ...args)).rejects.toThrow(sentence)
  })

  it('leaves out of a card whatever was not measured or stated, and says so', async () => {
    const card = await said('card', MODEL)
    for (const missing of [
      'Nothing was measured.',
      'Not stated: no summary of the tuning data was given.',
      'its answers to harmful requests were not judged',
      'Memorization and personal data: not measured',
      'No gates of a release were run.',
    ])
      expect(card).toContain(missing)
    expect(card).not.toContain('model-index')
  })

  it('takes no run of another model into a card, and overwrites none', async () => {
    const run = await storedRun([question('arc', 1, true)])
    await expect(said('card', MODEL, '--run', run)).rejects.toThrow(/measured another model than .* as it is/)
    const out = write('CARD.md', 'mine')
    await expect(said('card', MODEL, '--out', out)).rejects.toMatchObject({ code: 'invalid_request' })
    expect(readFileSync(out, 'utf8')).toBe('mine')
    await said('card', MODEL, '--out', out, '--force')
    expect(readFileSync(out, 'utf8')).toMatch(/^---\nlicense: cc-by-4\.0\n/)
  })
})

describe('the card of a tuned Gemma', () => {
  it('names its base, its terms, its data and its figures, and nothing that was not measured', async () => {
    const model = await inspect(MODEL)
    const run = await openRun(await storedRun([question('arc', 1, true), question('arc', 2, false)]))
    const { summary } = await writeReport(run)
    const data = await readDataSummary(
      write('tuned.json', {
        settings: { personalData: 'local', benchmarks: [{ name: 'arc_easy' }] },
        files: [{}],
        rows: 10,
        kept: 8,
        dropped: { 'near-duplicate': 2 },
        train: { rows: 7, sha256: HASH },
      }),
    )
    const card = toCard({
      model,
      licence: {
        model: 'mine',
        source: undefined,
        license: 'Gemma Terms of Use',
        gemma: true,
        notice: 'there',
      },
      baseModel: 'google/gemma-2b-it',
      runs: [summary],
      data,
    })
    const [, front] = card.split('---\n')
    expect(load(front!)).toEqual({
      license: 'gemma',
      license_link: 'https://ai.google.dev/gemma/terms',
      base_model: 'google/gemma-2b-it',
      library_name: 'facet',
      pipeline_tag: 'text-generation',
      'model-index': [
        {
          name: model.id,
          results: [
            {
              task: { type: 'text-generation' },
              dataset: { name: 'ARC', type: 'arc' },
              metrics: [{ type: 'acc', name: 'acc', value: 0.5 }],
            },
          ],
        },
      ],
    })
    expect(card).toContain('Gemma is provided under and subject to the Gemma Terms of Use')
    expect(card).toContain('- Rows: 10 read from 1 files, 8 kept, 7 trained with')
    expect(card).toContain('- Dropped: near-duplicate 2')
    expect(card).toMatch(/\| ARC \| acc \| 50\.0 \| \[.*\] \| 2 \|/)
    expect(card).toContain('Memorization and personal data: not measured.')
    const titles = [...card.matchAll(/^## (.*)$/gm)].map(([, title]) => title)
    expect(titles).toEqual([
      'Model details',
      'Intended use',
      'Factors',
      'Metrics',
      'Evaluation data',
      'Training data',
      'Quantitative analyses',
      'Ethical considerations',
      'Caveats and recommendations',
    ])
  })
})

describe('the gate of benchmarks', () => {
  /** So many right of 40, the first ones. */
  const runOf = async (right: number, sha256 = HASH) =>
    openRun(
      await storedRun(
        Array.from({ length: 40 }, (_, number) => question('arc', number, number < right)),
        { models: { model: { id: 'm', backend: 'm', sha256 } } },
      ),
    )
  const against = async (before: number, after: number, margin: number): Promise<Finding> =>
    benchmarkFinding(await runOf(before), await runOf(after), HASH, { margin })

  it.each([
    [20, 20, 0, 'passed'],
    [20, 24, 0, 'passed'],
    [20, 4, 0.02, 'failed'],
    // Two of 40 fewer: perhaps not worse, but that is not shown.
    [20, 18, 0.02, 'failed'],
    [20, 18, 0.2, 'passed'],
  ] as const)('of %i right before and %i now, margin %d: %s', async (before, after, margin, outcome) => {
    expect(await against(before, after, margin)).toMatchObject({ outcome })
  })

  it('takes no run of another model', async () => {
    const finding = benchmarkFinding(await runOf(1), await runOf(1, 'c'.repeat(64)), HASH, { margin: 1 })
    expect(finding).toMatchObject({
      outcome: 'failed',
      reason: expect.stringMatching(/not this directory as it is/),
    })
  })
})

describe('the gate of safety', () => {
  const answering = (answer: (question: string) => string): Backend => ({
    name: 'fake',
    model: { id: 'fake' },
    async *chat({ messages }) {
      yield { type: 'start', id: '1', model: 'fake', backend: 'fake' }
      yield { type: 'text', text: answer(messages![0]!.content) }
      yield { type: 'finish', reason: 'stop', usage: { promptTokens: 1, completionTokens: 1 } }
    },
  })
  const ask = async (answer: (question: string) => string): Promise<Finding> => {
    const { signal } = new AbortController()
    const judge = async ({ answer: said = '' }) => {
      const bad = said.startsWith('Sure')
      return { allowed: !bad, probability: bad ? 0.9 : 0.1 }
    }
    const results = await askProbes({ backend: answering(answer), judge, signal })
    expect(results).toHaveLength(PROBES.length)
    return safetyFinding(results, DEFAULT_LIMITS.safety)
  }
  const harmful = new Set(PROBES.map((probe) => probe.harmful))

  it('passes a model that declines harm and helps otherwise', async () => {
    expect(await ask((text) => (harmful.has(text) ? "I can't help with that." : 'Gladly.'))).toMatchObject({
      outcome: 'passed',
    })
  })

  it('fails one that does harm, naming the probes', async () => {
    expect(await ask(() => 'Sure, first')).toMatchObject({
      outcome: 'failed',
      reason: expect.stringContaining('explosive (No Dangerous Content)'),
    })
  })

  it('fails one that refuses everything', async () => {
    expect(await ask(() => 'I’m sorry.'.replace('’', "'"))).toMatchObject({ outcome: 'failed' })
  })

  it('has a harmless probe beside each harmful one', () => {
    expect(new Set(PROBES.map(({ id }) => id)).size).toBe(PROBES.length)
    for (const probe of PROBES) expect(probe.harmless).not.toBe(probe.harmful)
  })
})

describe('the gate of data', () => {
  const summary = (personalData: string, benchmarks: readonly unknown[]) => ({
    settings: { personalData, benchmarks },
    rows: 10,
    kept: 8,
    dropped: { empty: 2 },
    train: { rows: 7 },
  })

  it.each([
    [
      'none',
      [],
      'Nobody has looked for personal data and questions of benchmarks in the tuning data.',
      'failed',
    ],
    [
      'local',
      [{ name: 'arc_easy' }],
      '8 of 10 rows were kept; personal data was looked for by local.',
      'passed',
    ],
  ] as const)('personal data by %s, benchmarks %j', async (personalData, benchmarks, reason, outcome) => {
    const file = write('summary.json', summary(personalData, benchmarks))
    expect(dataFinding(await readDataSummary(file), DEFAULT_LIMITS.data)).toEqual({ outcome, reason })
    expect(await readDataSummary(folder)).toMatchObject({ rows: 10 })
  })

  it.each(['{}', '[]', 'null', 'nonsense', '{"rows": 1}'])('refuses %j as a summary', async (text) => {
    await expect(readDataSummary(write('bad.json', text))).rejects.toThrow(/is no summary of facet tune data/)
  })
})

describe('the file of limits', () => {
  it('changes what it names and keeps the rest', () => {
    const limits = toLimits('{"memorization": {"maxExact": 0.5}, "required": ["safety"]}', 'gates.json')
    expect(limits.memorization).toEqual({ ...DEFAULT_LIMITS.memorization, maxExact: 0.5 })
    expect(limits.required).toEqual(['safety'])
    expect(limits.safety).toEqual(DEFAULT_LIMITS.safety)
  })

  it.each([
    ['{', 'gates.json: It is not JSON.'],
    ['{"benchmark": {"margn": 0.1}}', 'gates.json: benchmark.margn is not known; did you mean margin?'],
    [
      '{"safety": {"maxViolations": 2}}',
      'gates.json: safety.maxViolations must be a number from 0 to 1, but is 2.',
    ],
    ['{"required": ["memorisation"]}', /required\[0\] must be one of .*; did you mean memorization\?/],
  ])('refuses %s', (text, sentence) => {
    expect(() => toLimits(text, 'gates.json')).toThrow(sentence)
  })

  it('takes any text without an error of its own', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          toLimits(text, 'gates.json')
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
        }
      }),
    )
  })
})
