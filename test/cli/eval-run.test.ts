/** `facet eval run` as people run it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { scripted } from '../eval/sxs/judging.ts'
import { facet, facetWithin, withoutPackages } from './facet.ts'
import { said } from './in-process.ts'

const DATA = fileURLToPath(new URL('../fixtures/benchmarks', import.meta.url))
const LOCAL = ['--model', MODEL_DIRECTORY, '--data', DATA]

let folder: string
let made = 0
const fresh = (): string => join(folder, `run-${made++}`)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'facet-eval-run-'))
})
afterAll(() => rm(folder, { recursive: true }))

const run = (...args: readonly string[]): Promise<string> => said('eval', 'run', ...args)
const linesOf = async (out: string): Promise<Record<string, unknown>[]> =>
  (await readFile(join(out, 'samples.jsonl'), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('facet eval run', () => {
  it('scores a model directory, writes the report, and asks nothing twice', async () => {
    const out = fresh()
    const args = ['arc_easy', ...LOCAL, '--limit', '4', '--out', out]
    const { code, stdout } = await facet(['eval', 'run', ...args])
    expect(code).toBe(0)
    expect(stdout).toMatch(/ARC-e +0 +acc_norm +[\d.]+ +\[[\d.]+, [\d.]+\] +4\n/)
    const settings = JSON.parse(await readFile(join(out, 'settings.json'), 'utf8'))
    expect(settings).toMatchObject({
      kind: 'benchmark',
      seed: 1,
      method: 'log-likelihood',
      tasks: [{ name: 'arc_easy', samples: 4, of: 24, shots: 0 }],
      models: { model: { id: 'facet-tldr-24m', quantization: 'int4' } },
    })
    for (const name of ['report.html', 'report.md', 'summary.json', 'charts.svg'])
      expect(await readFile(join(out, name), 'utf8')).not.toBe('')
    const before = await linesOf(out)
    expect(await run(...args)).toBe(stdout)
    expect(await linesOf(out)).toEqual(before)
    await expect(run(...args, '--seed', '2')).rejects.toThrow(
      `${out} holds another run, with other seed; choose another folder, or remove it.`,
    )
    expect(await linesOf(out)).toEqual(before)
  })

  it('goes on where a full disk ended it', async () => {
    const out = fresh()
    const args = ['arc_easy', ...LOCAL, '--out', out]
    const full = await facetWithin(8, ['eval', 'run', ...args])
    expect(full.stderr).toContain(
      `facet: ${out} does not fit on its disk; what was done is kept, so free some space and run it again.\n`,
    )
    expect(full.code).toBe(1)
    expect((await readFile(join(out, 'samples.jsonl'))).length).toBe(8 * 1024)
    await run(...args)
    const ids = (await linesOf(out)).map(({ id }) => id)
    expect([ids.length, new Set(ids).size]).toEqual([24, 24])
  })

  it('lets onnxruntime compute, and says so in the settings', async () => {
    const out = fresh()
    await run('arc_easy', ...LOCAL, '--limit', '1', '--engine', 'ort', '--out', out)
    const { models } = JSON.parse(await readFile(join(out, 'settings.json'), 'utf8'))
    expect(models.model.engine).toBe('ort')
  })
})

describe('facet eval run, asked for what cannot be', () => {
  let server: Served
  beforeAll(async () => {
    server = await serve({ app: createEdge({ backends: [scripted('writes', () => 'B')] }), port: 0 })
    await writeFile(
      join(folder, 'arc_challenge.jsonl'),
      '{"query":"q","choices":["a","b"],"gold":1}\n{"query":',
    )
    const twice = '{"id":"x","question":"q","choices":{"text":["a"],"label":["A"]},"answerKey":"A"}\n'
    await writeFile(join(folder, 'openbookqa.jsonl'), twice)
    await writeFile(join(folder, 'arc_easy.jsonl'), twice.repeat(2))
    const task = {
      task_id: 'T/0',
      prompt: 'def f():',
      test: 'def check(f): pass',
      entry_point: 'f',
      canonical_solution: ' pass',
    }
    await writeFile(join(folder, 'humaneval.jsonl'), JSON.stringify(task))
  })
  afterAll(() => server.close(0))

  it('of a server without log-likelihoods names the way out, which then works', async () => {
    const out = fresh()
    const args = ['arc_easy', '--url', `${server.url}/v1`, '--data', DATA, '--limit', '2', '--out', out]
    await expect(run(...args)).rejects.toThrow(
      /gives no log-likelihoods, which ARC-e is scored by; have it write the answers with --generate\.$/,
    )
    await run(...args, '--generate')
    expect((await linesOf(out)).map(({ extracted }) => extracted)).toEqual(['B', 'B'])
  })

  it.each<[readonly string[], string]>([
    [['arc_easy'], 'Name a model with --model:'],
    [['arc_esy', ...LOCAL], 'arc_easy'],
    [['arc_easy', '--model', 'src/', '--data', DATA], 'src/ is no model directory'],
    [['arc_easy', '--url', 'http://127.0.0.1:1/v1', '--engine', 'ort', '--data', DATA], '--engine says what'],
    [['gsm8k', ...LOCAL, '--samples', '4'], 'give --temperature with --samples, such as 0.8.'],
    [['gsm8k', ...LOCAL, '--shots', '500'], 'give a smaller --shots'],
    [['piqa', ...LOCAL], 'has none of piqa.jsonl, piqa.json, piqa.parquet, which PIQA needs'],
  ])('%j: one sentence', async (args, sentence) => {
    await expect(run(...args, '--out', fresh())).rejects.toThrow(sentence)
  })

  it.each([
    ['arc_challenge', 'arc_challenge.jsonl, line 2 is not JSON'],
    ['arc_easy', 'arc_easy.jsonl, line 2: its id x stands already in line 1'],
    ['openbookqa', 'openbookqa.jsonl, line 1: question_stem is missing'],
  ])('names file and line of a row that is wrong: %s', async (task, sentence) => {
    const args = [task, '--model', MODEL_DIRECTORY, '--data', folder, '--out', fresh()]
    await expect(run(...args)).rejects.toThrow(sentence)
  })

  it.each([
    [['--model', './nowhere'], './nowhere is no model directory'],
    [['--model', MODEL_DIRECTORY, '--judge', './nowhere'], './nowhere is no model directory'],
  ])('notices a model that is not there before any question is loaded: %j', async (models, sentence) => {
    const args = ['arc_challenge', ...models, '--data', folder, '--out', fresh()]
    await expect(run(...args)).rejects.toThrow(sentence)
  })

  it('says which package code tasks lack, before anything is asked', async () => {
    const out = fresh()
    const args = ['eval', 'run', 'humaneval', '--model', MODEL_DIRECTORY, '--data', folder, '--out', out]
    const { code, stderr } = await facet(args, { node: withoutPackages('pyodide') })
    expect(stderr).toBe('facet: Code tasks need the package pyodide; run npm install pyodide.\n')
    expect(code).toBe(1)
  })
})
