/** An engine with LoRA adapters, as requests see it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/convert/checkpoint-files.ts'
import { loadEngine as loadHere } from '../../src/engine/engine.ts'
import { type Engine, filesFromDirectory, type LoadOptions, loadEngine } from '../../src/engine/node.ts'
import type { ChatRequest } from '../../src/types.ts'
import { adapterGolden, JSON_ADAPTER, writeAdapter } from './adapter-fixtures.ts'
import { collect } from './collect.ts'
import { MODEL_DIRECTORY } from './golden.ts'

const ID = 'facet-tldr-24m'
const QUESTION = 'list files'
const config = await readConfig(MODEL_DIRECTORY)
const JSON_ANSWER = adapterGolden
  .find(({ prompt }) => prompt === QUESTION)!
  .greedy_text.replace('<end_of_turn>', '')

const ask = (model?: string, more: Partial<ChatRequest> = {}): ChatRequest =>
  ({
    messages: [{ role: 'user', content: QUESTION }],
    temperature: 0,
    maxTokens: 40,
    ...(model !== undefined && { model }),
    ...more,
  }) as ChatRequest

const loadWith = (options: LoadOptions): Promise<Engine> =>
  loadHere({
    files: filesFromDirectory(MODEL_DIRECTORY),
    filesAt: filesFromDirectory,
    contextTokens: 256,
    ...options,
  })

describe('an engine with adapters', () => {
  let engine: Engine
  let random: string
  beforeAll(async () => {
    random = await writeAdapter(config, { rank: 16 })
    engine = await loadEngine(MODEL_DIRECTORY, {
      contextTokens: 256,
      adapters: [
        { name: 'json', location: JSON_ADAPTER },
        { name: 'random', location: random },
      ],
    })
  })
  afterAll(() => engine.close())

  it('answers as each of them when asked for MODEL:NAME, and as the model when not, all at once', async () => {
    expect(engine.model.adapters).toEqual(['json', 'random'])
    const plain = await collect(engine, ask())
    expect(plain.text).not.toContain('"command"')
    const models = [undefined, `${ID}:json`, ID, `${ID}:random`, `${ID}:json`]
    const answers = await Promise.all(models.map((model) => collect(engine, ask(model))))
    expect(answers.map(({ text }) => text)).toEqual([
      plain.text,
      JSON_ANSWER,
      plain.text,
      answers[3]!.text,
      JSON_ANSWER,
    ])
    expect([plain.text, JSON_ANSWER]).not.toContain(answers[3]!.text)
    expect(answers[1]!.events[0]).toMatchObject({ type: 'start', model: `${ID}:json` })
  })

  it('gives log-probabilities, scores and embeddings of the model as changed', async () => {
    const model = `${ID}:json`
    const { logprobs } = await collect(engine, ask(model, { logprobs: 1 }))
    expect(logprobs[0]!.logprob).toBeGreaterThan(-0.1)
    const likely = async (asked?: string): Promise<number> => {
      const request = { ...ask(asked), continuations: [JSON_ANSWER] }
      const [scores] = await engine.score!(request as never)
      return scores!.reduce((sum, { logprob }) => sum + logprob, 0)
    }
    expect(await likely(model)).toBeGreaterThan(-1)
    expect(await likely()).toBeLessThan(-10)
    const [[changed], [plain]] = [await engine.embed!([QUESTION], { model }), await engine.embed!([QUESTION])]
    const cosine = changed!.reduce((sum, value, i) => sum + value * plain![i]!, 0)
    expect(cosine).toBeLessThan(0.999)
  })

  it('says which name is nearest to one that it does not know', async () => {
    await expect(collect(engine, ask(`${ID}:jsno`))).rejects.toMatchObject({
      code: 'model_not_found',
      status: 404,
      message: `There is no model "${ID}:jsno" here; did you mean "${ID}:json"; ask for "${ID}" or leave model out.`,
    })
    await expect(engine.embed!([QUESTION], { model: 'other' })).rejects.toMatchObject({
      code: 'model_not_found',
    })
  })
})

describe('adapters of a running engine', () => {
  it('come and go while it answers, and those who ask in time are answered', async () => {
    const engine = await loadEngine(MODEL_DIRECTORY, { contextTokens: 256, adapterBytes: 2_000_000 })
    try {
      expect(engine.model.adapters).toBeUndefined()
      await engine.loadAdapter({ name: 'json', location: JSON_ADAPTER })
      expect(engine.model.adapters).toEqual(['json'])
      const answering = collect(engine, ask(`${ID}:json`))
      await engine.unloadAdapter('json')
      expect((await answering).text).toBe(JSON_ANSWER)
      await expect(collect(engine, ask(`${ID}:json`))).rejects.toMatchObject({ code: 'model_not_found' })
      await engine.loadAdapter({ name: 'again', location: JSON_ADAPTER })
      expect((await collect(engine, ask(`${ID}:again`))).text).toBe(JSON_ANSWER)
      const twice = engine.loadAdapter({ name: 'again', location: JSON_ADAPTER })
      await expect(twice).rejects.toThrow('There is an adapter again already')
      const beyond = engine.loadAdapter({ name: 'more', location: JSON_ADAPTER })
      await expect(beyond).rejects.toMatchObject({ code: 'out_of_memory', field: 'adapterBytes' })
      await expect(engine.unloadAdapter('agian')).rejects.toThrow('did you mean "again"')
    } finally {
      await engine.close()
    }
  })

  it('are refused before the weights are read when they do not fit the model, its memory or its graph', async () => {
    const adapters = [{ name: 'json', location: JSON_ADAPTER }]
    const other = await writeAdapter({ ...config, hiddenSize: 640 })
    await expect(loadWith({ adapters: [{ name: 'other', location: other }] })).rejects.toThrow(
      `The adapter other (${other}) cannot be used: adapter_model.safetensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is [4, 640], but must be [4, 384] for this model; the adapter was trained on another base.`,
    )
    await expect(loadWith({ adapters: [{ name: 'a:b', location: JSON_ADAPTER }] })).rejects.toThrow(
      'The adapter\'s name "a:b"',
    )
    for (const graph of ['ort', 'webgpu'] as const) {
      await expect(loadWith({ adapters, graph })).rejects.toThrow(
        `Adapters are computed by the graphs wasm and reference, but this is ${graph}; leave the adapters or --engine out.`,
      )
    }
    const large = await writeAdapter(config, { rank: 128 })
    const over = loadWith({ memoryBytes: 60e6, slots: 1, adapters: [{ name: 'large', location: large }] })
    await expect(over).rejects.toMatchObject({
      code: 'out_of_memory',
      message: expect.stringMatching(/adapters \d/),
    })
  })

  it('answer the same where a draft model, which has none of them, guesses ahead', async () => {
    const engine = await loadEngine(MODEL_DIRECTORY, {
      contextTokens: 256,
      draft: MODEL_DIRECTORY,
      adapters: [{ name: 'json', location: JSON_ADAPTER }],
    })
    try {
      expect((await collect(engine, ask(`${ID}:json`))).text).toBe(JSON_ANSWER)
      expect((await collect(engine, ask())).text).not.toContain('"command"')
    } finally {
      await engine.close()
    }
  })

  it('are computed by the reference too', async () => {
    const engine = await loadWith({
      graph: 'reference',
      adapters: [{ name: 'json', location: JSON_ADAPTER }],
    })
    const { text } = await collect(engine, ask(`${ID}:json`, { maxTokens: 4 }))
    expect(JSON_ANSWER.startsWith(text)).toBe(true)
    await engine.close()
  })
})
