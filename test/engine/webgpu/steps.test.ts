import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Choice } from '../../../src/engine/choice.ts'
import { choose } from '../../../src/engine/choose.ts'
import type { KvCache, Outcome, SampledSlice } from '../../../src/engine/graph.ts'
import { createSampler, type Sampler } from '../../../src/engine/sampler.ts'
import { type Gpu, openGpu } from '../../../src/engine/webgpu/device.ts'
import { createWebGpuGraph, type WebGpuGraph, type WebGpuOptions } from '../../../src/engine/webgpu/graph.ts'
import type { Sampling } from '../../../src/types.ts'
import { quantizedFixture, type TestModel } from '../wasm/models.ts'
import { dawn } from './dawn.ts'

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }
const CONTEXT = 64

let gpu: Gpu
let model: TestModel
let graph: WebGpuGraph
let submissions = 0
const compiled: [number, number][] = []
beforeAll(async () => {
  gpu = await openGpu({ gpu: dawn })
  model = await quantizedFixture('gemma-mqa')
  counted(gpu.device)
  graph = await open((done, total) => compiled.push([done, total]))
}, SLOW.timeout)
afterAll(async () => {
  await graph.dispose()
  gpu.release()
})

/** On the device of all: what one has compiled is there for the next. */
const open = (onCompiled?: WebGpuOptions['onCompiled']): Promise<WebGpuGraph> =>
  createWebGpuGraph({
    model,
    sequences: 4,
    contextTokens: CONTEXT,
    tuning: { lanes: 32, rows: { 4: 2 }, laneTokens: 4, ahead: false },
    gpu: dawn,
    device: gpu.device,
    ...(onCompiled && { onCompiled }),
  })

/** A device that counts what is submitted to it. */
function counted(device: GPUDevice): void {
  const submit = device.queue.submit.bind(device.queue)
  device.queue.submit = (commands) => {
    submissions++
    return submit(commands)
  }
}

/** Names of kernels as they are asked for, while `use` runs; `gate` may keep one back. */
async function watchCompiling(
  use: (names: string[]) => Promise<void>,
  gate: (name: string) => Promise<void> = async () => {},
): Promise<void> {
  const { device } = gpu
  const names: string[] = []
  const compile = device.createComputePipelineAsync
  device.createComputePipelineAsync = async (descriptor) => {
    names.push(descriptor.label!)
    await gate(descriptor.label!)
    return compile.call(device, descriptor)
  }
  try {
    await use(names)
  } finally {
    device.createComputePipelineAsync = compile
  }
}

/** The kernels that choose tokens. */
const GREEDY = ['adjusting of logits', 'choice of a token']
const CHOOSING = [
  ...GREEDY,
  'top-k and top-p',
  'weights of tokens',
  'likeliest of a chunk',
  'likeliest of all',
]

/** One answer in the making. */
interface Answer {
  readonly cache: KvCache
  readonly sampler: Sampler
  readonly ids: number[]
  tokens: readonly number[]
}

const answerTo = (prompt: readonly number[], sampling: Sampling, alternatives?: number): Answer => ({
  cache: graph.open(CONTEXT),
  sampler: createSampler(sampling, prompt, alternatives),
  ids: [],
  tokens: prompt,
})

const idOf = (outcome: Outcome | undefined, choice: Choice): number => {
  if (outcome instanceof Error) throw outcome
  return outcome instanceof Float32Array ? choose(outcome, choice).id : outcome!.id
}

/** One step of these answers: tokens chosen on the GPU, or here from its logits. */
async function step(answers: readonly Answer[], where: 'gpu' | 'cpu'): Promise<readonly Outcome[]> {
  const choices = answers.map(({ sampler }) => sampler.choice())
  const batch = answers.map(({ cache, tokens }, i): SampledSlice => ({ cache, tokens, choice: choices[i]! }))
  const outcomes = await (where === 'gpu' ? graph.sample(batch) : graph.step(batch))
  for (const [i, answer] of answers.entries()) {
    const id = idOf(outcomes[i], choices[i]!)
    answer.sampler.accept(id)
    answer.ids.push(id)
    answer.tokens = [id]
  }
  return outcomes
}

const SAMPLINGS: readonly Sampling[] = [
  { temperature: 0 },
  { seed: 5, topK: 20, topP: 0.9 },
  { seed: 6, temperature: 1.5, repetitionPenalty: 1.2, presencePenalty: 0.5 },
]
const PROMPTS = [
  [2, 5, 9],
  [2, 17],
  [2, 30, 31, 32, 33],
]

/** The same answers on both sides; `perform` makes the steps. */
async function both(perform: (where: 'gpu' | 'cpu') => Promise<readonly Answer[]>): Promise<void> {
  const ids: (readonly number[])[][] = []
  for (const where of ['gpu', 'cpu'] as const) {
    const answers = await perform(where)
    ids.push(answers.map((answer) => answer.ids))
    for (const { cache } of answers) cache.dispose()
  }
  expect(ids[0]).toEqual(ids[1])
  expect(ids[0]!.every((each) => each.length > 0)).toBe(true)
}

describe('a graph that chooses tokens itself', () => {
  it('tells how many kernels are compiled', () => {
    const [done, total] = compiled.at(-1)!
    expect(done).toBe(total)
    expect(compiled.map(([count]) => count)).toEqual(compiled.map((_, i) => i + 1))
  })

  it(
    'compiles what chooses tokens when tokens are first chosen, and no more than that takes',
    SLOW,
    async () => {
      await watchCompiling(async (names) => {
        const chooses = (): string[] => names.filter((name) => CHOOSING.includes(name))
        const own = await open()
        const cache = own.open(CONTEXT)
        await own.step([{ cache, tokens: [2, 3] }])
        expect(chooses()).toEqual([])
        await own.sample([{ cache, tokens: [4], choice: createSampler({ temperature: 0 }, []).choice() }])
        expect(chooses()).toEqual(GREEDY)
        await own.sample([{ cache, tokens: [4], choice: createSampler({ topK: 3, seed: 1 }, []).choice() }])
        expect(chooses().toSorted()).toEqual(CHOOSING.slice(0, 4).toSorted())
        await own.dispose()
      })
    },
  )

  it(
    'compiles it on hardware as soon as the model is loaded, without keeping a step waiting',
    SLOW,
    async () => {
      const { adapterInfo } = gpu.device
      const { vendor, architecture, subgroupMinSize, subgroupMaxSize } = adapterInfo
      const hardware = { vendor, architecture, subgroupMinSize, subgroupMaxSize, isFallbackAdapter: false }
      Object.defineProperty(gpu.device, 'adapterInfo', { value: hardware, configurable: true })
      const held = Promise.withResolvers<void>()
      const progress: (readonly [number, number])[] = []
      await watchCompiling(
        async (names) => {
          const own = await open((done, total) => progress.push([done, total]))
          const cache = own.open(CONTEXT)
          await own.step([{ cache, tokens: [2, 3] }])
          expect(names).toEqual(expect.arrayContaining(CHOOSING))
          const [before] = progress.at(-1)!
          const choice = createSampler({ seed: 1, topK: 3 }, [], 2).choice()
          const sampled = own.sample([{ cache, tokens: [4], choice }])
          held.resolve()
          expect(await sampled).toMatchObject([{ top: { length: 2 } }])
          expect(progress.at(-1)).toEqual([before + CHOOSING.length, before + CHOOSING.length])
          await own.dispose()
        },
        (name) => (CHOOSING.includes(name) ? held.promise : Promise.resolve()),
      )
      Object.defineProperty(gpu.device, 'adapterInfo', { value: adapterInfo, configurable: true })
    },
  )

  it.each([
    ['that can be computed ahead', SAMPLINGS.slice(0, 2)],
    ['of which some depend on the tokens before', SAMPLINGS],
  ])('gives the tokens that its logits give: answers %s', SLOW, async (_, samplings) => {
    await both(async (where) => {
      const answers = samplings.map((sampling, i) => answerTo(PROMPTS[i]!, sampling))
      for (let i = 0; i < 6; i++) await step(answers, where)
      return answers
    })
  })

  it('submits once a step, and is one step ahead where choices do not depend on tokens', SLOW, async () => {
    const counts = []
    for (const sampling of [{ temperature: 0 }, { temperature: 0, presencePenalty: 1 }]) {
      const answer = answerTo([2, 5, 9], sampling)
      const before = submissions
      for (let i = 0; i < 4; i++) await step([answer], 'gpu')
      counts.push(submissions - before)
      answer.cache.dispose()
    }
    expect(counts).toEqual([5, 4])
  })

  it('forgets what it computed ahead when a sequence ends, joins, or goes on another way', SLOW, async () => {
    await both(async (where) => {
      const [first, second, third] = SAMPLINGS.map((sampling, i) =>
        answerTo(PROMPTS[i]!, { ...sampling, repetitionPenalty: 1, presencePenalty: 0 }),
      ) as [Answer, Answer, Answer]
      await step([first, second], where)
      await step([first, second], where)
      await step([second], where) // the first pauses
      await step([second, first], where) // another order
      await step([second, first, third], where) // a prompt joins
      await step([second, first, third], where)
      second.cache.truncate(1)
      second.tokens = [40, 41]
      await step([first, second, third], where)
      second.tokens = [7] // not what was chosen
      await step([first, second, third], where)
      await step([first, second, third], where)
      return [first, second, third]
    })
  })

  it('fills a cache to its last position', SLOW, async () => {
    await both(async (where) => {
      const answer = answerTo(
        Array.from({ length: CONTEXT - 3 }, (_, i) => i + 2),
        { seed: 8 },
      )
      for (let i = 0; i < 4; i++) await step([answer], where)
      expect(answer.cache.length).toBe(CONTEXT)
      return [answer]
    })
  })

  it('gives logits and nothing beside tokens, each to whom it is due', SLOW, async () => {
    const [cacheA, cacheB, cacheC] = [graph.open(CONTEXT), graph.open(CONTEXT), graph.open(CONTEXT)]
    const choice = createSampler({ temperature: 0 }, [], 2).choice()
    const [chosen, rows, nothing] = await graph.sample([
      { cache: cacheA, tokens: [2, 5, 9], choice },
      { cache: cacheB, tokens: [2, 5, 9], logits: 2 },
      { cache: cacheC, tokens: [2, 5], logits: 0 },
    ])
    const { vocabSize } = graph.config
    expect(nothing).toEqual(new Float32Array())
    expect(rows).toHaveLength(2 * vocabSize)
    const exact = choose((rows as Float32Array).slice(vocabSize), choice)
    expect(chosen).toMatchObject({ id: exact.id, top: [{ id: exact.id }, { id: exact.top![1]!.id }] })
    for (const cache of [cacheA, cacheB, cacheC]) cache.dispose()
  })

  it('leaves choices with more alternatives than it tells to its caller', SLOW, async () => {
    const cache = graph.open(CONTEXT)
    const choice = createSampler({ temperature: 0 }, [], 21).choice()
    const [logits] = await graph.sample([{ cache, tokens: [2, 5], choice }])
    expect(logits).toHaveLength(graph.config.vocabSize)
    cache.dispose()
  })
})
