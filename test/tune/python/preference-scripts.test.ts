import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../deploy/target.ts'
import { parseDone } from '../../../src/tune/home/done.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { parseScores } from '../../../src/tune/preference/scores.ts'
import { scriptsOf } from '../../../src/tune/python/files.ts'
import { Python } from './python.ts'
import { SFT, settingsIn } from './settings.ts'
import signatures from './signatures.json' with { type: 'json' }

interface Ran {
  readonly status: number
  readonly metrics: readonly Readonly<Record<string, unknown>>[]
  readonly calls: readonly { readonly name: string; readonly keywords: Readonly<Record<string, unknown>> }[]
  readonly rewards: readonly number[]
  readonly out: string
}

let python: Python
beforeAll(async () => {
  python = await Python.start()
}, 120_000)
afterAll(() => python.close())

const REWARD: TuneSpec = { ...SFT, kind: 'reward' }
const RLHF: TuneSpec = {
  ...SFT,
  kind: 'rlhf',
  hyperparameters: { ...SFT.hyperparameters, samplesPerPrompt: 2, answerTokens: 16 },
}

const said = (content: string) => [{ role: 'assistant', content }]
const pair = (more: JsonObject = {}): string =>
  `${JSON.stringify({ prompt: [{ role: 'user', content: 'Hi' }], chosen: said('Hello'), rejected: said('No'), ...more })}\n`

async function job(spec: TuneSpec, rows = pair().repeat(4), paths: JsonObject = {}): Promise<Ran> {
  const { here, there } = await python.folder()
  const settings = settingsIn(there, spec)
  const reward = spec.kind === 'rlhf' ? { reward_model: `${there}/reward` } : {}
  const own = settings.paths as JsonObject
  await writeFile(
    join(here, 'job.json'),
    JSON.stringify({ ...settings, paths: { ...own, ...reward, ...paths } }),
  )
  await writeFile(join(here, 'train.jsonl'), rows)
  await writeFile(join(here, 'eval.jsonl'), pair() + pair({ margin: 2 }))
  const { status, lines } = python.run(
    `
import importlib, json, sys
from pathlib import Path
for name in list(sys.modules):
    if name.split('.')[0] in FRAMEWORKS:
        del sys.modules[name]
import stand_ins, preference_stand_ins
preference_stand_ins.preferences()
from facet_job import run_job
try:
    run_job(importlib.import_module(script).train, Path(folder))
finally:
    Path(folder, 'calls.json').write_text(json.dumps([stand_ins.CALLS, preference_stand_ins.RLOOTrainer.rewards]))`,
    { folder: there, script: `${spec.kind}_trl`, FRAMEWORKS: MODULES },
  )
  const [calls, rewards] = JSON.parse(readFileSync(join(here, 'calls.json'), 'utf8'))
  const metrics = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  return { status, metrics, calls, rewards, out: join(here, 'out') }
}

const MODULES: readonly string[] = [
  ...['stand_ins', 'preference_stand_ins', 'facet_job', 'facet_chat', 'facet_pairs', 'facet_trl'],
  ...['reward_trl', 'rlhf_trl', 'torch', 'accelerate', 'datasets', 'transformers', 'peft', 'trl'],
]

const keywordsOf = ({ calls }: Ran, name: string): Readonly<Record<string, unknown>> =>
  calls.find((call) => call.name === name)!.keywords

const refusal = ({ status, metrics }: Ran): unknown => (status === 1 ? metrics.at(-1)?.message : undefined)

/** Keywords that the pinned versions do not have. */
const unknownKeywords = ({ calls }: Ran): string[] =>
  calls.flatMap(({ name, keywords }) => {
    const known = (signatures as Readonly<Record<string, { readonly parameters: readonly string[] }>>)[name]
    return known ? Object.keys(keywords).filter((keyword) => !known.parameters.includes(keyword)) : []
  })

const lettersOf = (ids: readonly number[]): string =>
  ids.map((id) => (id === 5 ? '.' : id < 10 ? '' : String.fromCharCode(id - 10))).join('')

describe('reward_trl.py', () => {
  it('trains one output on pairs of whole conversations, and scores those that were held out', async () => {
    const ran = await job(REWARD, pair() + pair({ margin: 1.5 }))
    expect(ran.status).toBe(0)
    expect(unknownKeywords(ran)).toEqual([])
    expect(
      keywordsOf(ran, 'transformers.AutoModelForSequenceClassification.from_pretrained').num_labels,
    ).toBe(1)
    expect(keywordsOf(ran, 'peft.LoraConfig').task_type).toBe('SEQ_CLS')
    const rows = keywordsOf(ran, 'trl.RewardTrainer').train_dataset as {
      readonly chosen_ids: number[]
      readonly rejected_ids: number[]
      readonly margin: number
    }[]
    expect(rows.map(({ chosen_ids, rejected_ids }) => [chosen_ids, rejected_ids].map(lettersOf))[0]).toEqual([
      'user\nHi.\nmodel\nHello.\n',
      'user\nHi.\nmodel\nNo.\n',
    ])
    expect(rows.map(({ margin }) => margin)).toEqual([0, 1.5])
    const scores = parseScores(readFileSync(join(ran.out, 'result/scores.jsonl'), 'utf8'), 'scores.jsonl')
    expect(scores.map(({ chosen, chosenTokens, margin }) => [chosen * 10, chosenTokens, margin])).toEqual([
      [rows[0]!.chosen_ids.length, rows[0]!.chosen_ids.length, undefined],
      [rows[0]!.chosen_ids.length, rows[0]!.chosen_ids.length, 2],
    ])
    const done = JSON.parse(readFileSync(join(ran.out, 'done.json'), 'utf8'))
    expect(done.files.map(({ path }: { path: string }) => path)).toContain('scores.jsonl')
  })

  it.each([
    ['{"prompt":', /^train\.jsonl, line 1 is not JSON/],
    ['[]', /^train\.jsonl, line 1 must be an object/],
    [pair({ prompt: 'Hi' }), /^train\.jsonl, line 1: prompt must be a list of messages/],
    [pair({ rejected: said('Hello') }), /^train\.jsonl, line 1: chosen and rejected are the same/],
    [pair({ margin: 'much' }), /^train\.jsonl, line 1: margin must be a number/],
    [pair({ chosen: [{ role: 'user', content: 'x' }] }), /messages\[1\]\.role must be assistant/],
    [
      pair({ chosen: said('o'.repeat(9000)) }),
      /^train\.jsonl has no row to use: all 1 of its rows are longer/,
    ],
    ['', /^train\.jsonl has no row to use: it has none/],
  ])('refuses %j', async (rows, sentence) => {
    expect(refusal(await job(REWARD, rows))).toMatch(sentence)
  })

  it('refuses to go without held-out pairs', async () => {
    expect(refusal(await job(REWARD, pair(), { eval: null }))).toMatch(/^paths\.eval is null/)
  })
})

describe('rlhf_trl.py', () => {
  it('optimises a policy by the rewards of what it samples, held to its start', async () => {
    const asked = (content: string): JsonObject => ({ prompt: [{ role: 'user', content }] })
    const ran = await job(RLHF, ['Hi', 'Ho', 'He', 'Ha'].map((content) => pair(asked(content))).join(''))
    expect(ran.status).toBe(0)
    expect(unknownKeywords(ran)).toEqual([])
    expect(keywordsOf(ran, 'trl.RLOOConfig')).toMatchObject({
      num_generations: 2,
      max_completion_length: 16,
      beta: 0.05,
      disable_dropout: true,
      eval_strategy: 'no',
    })
    // The prompt as the policy reads it, and two sampled tokens: a tenth for each.
    const [{ prompt }] = keywordsOf(ran, 'trl.RLOOTrainer').train_dataset as [{ prompt: string }]
    expect(prompt).toBe('<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n')
    const promptTokens = 'user\nHi\nmodel\n'.length + '<bos><sot><eot><sot>'.match(/</g)!.length
    expect(ran.rewards).toEqual(Array.from({ length: 4 }, () => (promptTokens + 2) / 10))
    // KL by answer, not by token.
    expect(ran.metrics[0]).toMatchObject({ facet: 'step', reward: 2, kl: 2, length: 8 })
  })

  it('keeps the adapter of every checkpoint, and not that of the start', async () => {
    const { out } = await job(
      RLHF,
      Array.from({ length: 8 }, (_, at) => pair({ prompt: [{ role: 'user', content: `${at}` }] })).join(''),
    )
    expect(readdirSync(join(out, 'policies')).sort()).toEqual(['step-2', 'step-4', 'step-6', 'step-8'])
    const done = parseDone(readFileSync(join(out, 'policies/step-2/done.json'), 'utf8'))
    expect(done).toMatchObject({ kind: 'adapter', steps: 2 })
    expect(done.files.map(({ path }) => path)).toEqual(
      readdirSync(join(out, 'policies/step-2/result')).sort(),
    )
    expect(existsSync(join(out, 'result/ref'))).toBe(false)
  })

  it('keeps the adapter that it went on from as step 0', async () => {
    const { here, there } = await python.folder()
    for (const name of ['adapter_config.json', 'adapter_model.safetensors', 'README.md'])
      await writeFile(join(here, name), '{}')
    const rows = ['A', 'B'].map((content) => pair({ prompt: [{ role: 'user', content }] })).join('')
    const { out } = await job(RLHF, rows, { start_from: there })
    expect(readdirSync(join(out, 'policies/step-0/result')).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ])
    expect(parseDone(readFileSync(join(out, 'policies/step-0/done.json'), 'utf8')).steps).toBe(0)
  })

  it('takes rows of tuning data too, of which the last answer is left out', async () => {
    const messages = [
      { role: 'user', content: 'A?' },
      ...said('b'),
      { role: 'user', content: 'C?' },
      ...said('d'),
    ]
    const ran = await job(RLHF, `${JSON.stringify({ messages })}\n`.repeat(2))
    const [{ prompt }] = keywordsOf(ran, 'trl.RLOOTrainer').train_dataset as [{ prompt: string }]
    expect(prompt).toMatch(
      /^<bos><start_of_turn>user\nA\?.+b<end_of_turn>\n<start_of_turn>user\nC\?<end_of_turn>\n<start_of_turn>model\n$/s,
    )
  })

  it('refuses batches that part the samples of a prompt, and to go without a reward model', async () => {
    const odd = { ...RLHF, hyperparameters: { ...RLHF.hyperparameters, samplesPerPrompt: 3 } }
    expect(refusal(await job(odd))).toMatch(
      /is 4 answers in each update, which is no multiple of samples_per_prompt \(3\)/,
    )
    expect(refusal(await job(RLHF, pair(), { reward_model: null }))).toMatch(/^paths\.reward_model is null/)
  })
})

describe('the scripts of preference tuning', () => {
  it.each(['reward', 'rlhf'] as const)('of kind %s come with all that they import', async (kind) => {
    const scripts = await scriptsOf(kind, 'trl')
    for (const text of Object.values(scripts)) {
      for (const [, name] of text.matchAll(/^from ((?:facet|reward)_\w+) import/gm)) {
        expect(Object.keys(scripts)).toContain(`${name}.py`)
      }
    }
  })
})
