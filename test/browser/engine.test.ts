import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { loadEngine as loadOnNode } from '../../src/engine/node.ts'
import { collect } from '../engine/collect.ts'
import { goldenPrompts, MODEL_DIRECTORY } from '../engine/golden.ts'
import { type OpenBrowser, openBrowser } from './chromium.ts'
import type { EnginePage, PageAnswer } from './engine-page.ts'
import { openSite, type Site } from './site.ts'
import { type Call, openServiceWorker, openSitePage, type SitePage } from './site-page.ts'

/** First folder of a page's address: all but plain are cross-origin isolated, and some lack a script. */
type Mode = 'isolated' | 'plain' | 'workerless' | 'threadless'
const MISSING: Readonly<Partial<Record<Mode, string>>> = {
  workerless: 'browser-worker.js',
  threadless: 'web-thread.js',
}

let chromium: OpenBrowser
let site: Site
/** Ids of the golden prompts' answers, as the engine gives them on Node. */
let onNode: number[][]
const closers: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  site = await openSite({ scripts: ['engine-page.ts'], models: { model: MODEL_DIRECTORY } })
  site.fault = (file, request, response) => {
    const [, mode = ''] = request.url!.split('/')
    if (MISSING[mode as Mode] !== file) return false
    response.writeHead(404).end()
    return true
  }
  chromium = await openBrowser()
  const engine = await loadOnNode(MODEL_DIRECTORY, { queue: goldenPrompts.length })
  onNode = await Promise.all(
    goldenPrompts.map(async ({ prompt }) => {
      const request = { messages: [{ role: 'user', content: prompt }], temperature: 0, logprobs: 0 } as const
      return (await collect(engine, request)).logprobs.map(({ id }) => id)
    }),
  )
  await engine.close()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
afterAll(async () => {
  await chromium?.close()
  site?.close()
})

type Opened = SitePage<EnginePage>

async function open(mode: Mode): Promise<Opened> {
  const context = await chromium.browser.newContext()
  closers.push(() => context.close())
  return openSitePage<EnginePage>(context, site, `/${mode}/`)
}

/** Asks all golden prompts, one after the other; at least 14 of the 15 answers are those of transformers. */
async function goldenAnswers(call: Call<EnginePage>): Promise<PageAnswer[]> {
  const answers: PageAnswer[] = []
  for (const { prompt } of goldenPrompts) answers.push(await call('ask', prompt))
  // The end of the turn has no text, and so no log-probability.
  const equal = goldenPrompts.filter(
    ({ greedy_ids_int4 }, i) => answers[i]!.ids.join() === greedy_ids_int4.slice(0, -1).join(),
  )
  expect(equal.length).toBeGreaterThanOrEqual(14)
  return answers
}

/** Chromium gives a terminated worker that blocks, as threads do, two seconds. */
async function allEnded(page: Page): Promise<void> {
  await expect.poll(() => page.workers(), { timeout: 30_000 }).toEqual([])
}

describe.each(['isolated', 'plain'] as const)('the engine in a worker of a page, %s', (mode) => {
  const threads = mode === 'isolated' ? 3 : 1

  it('answers as on Node and leaves the page free', { timeout: 180_000 }, async () => {
    const { call, complaints, page } = await open(mode)
    const told = await call('load', 'model', { slots: 1, threads: 3 })
    expect(told.at(-1)).toBe(1)
    expect(told.length).toBeGreaterThan(2)
    expect(page.workers()).toHaveLength(threads)
    const answers = await goldenAnswers(call)
    expect(answers.map(({ ids }) => ids)).toEqual(onNode)
    const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)
    // Of all answers together: on a busy machine the page may get no turn during a short one.
    expect(sum(answers.map(({ turns }) => turns))).toBeGreaterThan(5 * sum(answers.map(({ texts }) => texts)))
    expect(sum(answers.map(({ timers }) => timers))).toBeGreaterThan(answers.length)
    expect(sum(answers.map(({ frames }) => frames))).toBeGreaterThan(answers.length)
    expect(complaints).toEqual([])
  })

  it('frees the only slot when an answer is aborted', async () => {
    const { call } = await open(mode)
    await call('load', 'model', { slots: 1, queue: 0, threads: 3 })
    expect(await call('abort', 'Show examples for tar.')).toMatchObject({ code: 'aborted' })
    expect((await call('ask', 'How do I find files by name?')).text).toBe("`find . -name '*.txt'`")
  })

  it('ends all its workers when it is closed', async () => {
    const { call, page } = await open(mode)
    await call('load', 'model', { threads: 3 })
    expect(page.workers()).toHaveLength(threads)
    await call('close')
    await allEnded(page)
    expect(await call('failureToAsk', 'Hi')).toMatchObject({ code: 'unavailable' })
  })

  it('says what is wrong with a model, and leaves no worker behind', async () => {
    const { call, page } = await open(mode)
    expect(await call('failureToLoad', 'nowhere')).toMatchObject({
      code: 'invalid_model',
      message: expect.stringContaining(`${site.origin}/${mode}/nowhere has no facet.json`),
    })
    expect(await call('failureToLoad', 'model', { contextTokens: 9999 })).toMatchObject({
      code: 'invalid_request',
    })
    await allEnded(page)
  })

  it('fails what it was asked when its worker fails', async () => {
    const { call, page } = await open(mode)
    await call('load', 'model', { threads: 3 })
    const failure = call('failureToAsk', 'Show examples for tar.')
    await page.workers()[0]!.evaluate(() => {
      setTimeout(() => {
        throw new Error('boom')
      })
    })
    expect(await failure).toMatchObject({ code: 'internal', message: expect.stringContaining('boom') })
    await allEnded(page)
  })
})

describe('a script that is missing', () => {
  it.each([
    ['workerless', "The worker's script could not be loaded"],
    ['threadless', 'A thread that computes could not be started: its script could not be loaded'],
  ] as const)('is named: %s', async (mode, message) => {
    const { call, page } = await open(mode)
    expect(await call('failureToLoad', 'model', { threads: 3 })).toMatchObject({
      code: 'internal',
      message: expect.stringContaining(message),
    })
    await allEnded(page)
  })
})

describe('the engine where it computes on the calling thread', () => {
  it('answers as on Node with the relaxed kernels', { timeout: 180_000 }, async () => {
    const { call } = await open('plain')
    await call('loadBuild', 'model', 'relaxed')
    expect((await goldenAnswers(call)).map(({ ids }) => ids)).toEqual(onNode)
  })

  it('answers the golden prompts with the simd kernels', { timeout: 180_000 }, async () => {
    const { call } = await open('plain')
    await call('loadBuild', 'model', 'simd')
    await goldenAnswers(call)
  })

  it('lets the event loop turn within every step', async () => {
    const { call } = await open('plain')
    expect((await call('stepHere', 'model', 1)).turns).toBeGreaterThanOrEqual(2)
    const prefill = await call('stepHere', 'model', 128)
    expect(prefill.turns).toBeGreaterThanOrEqual(2)
    expect(prefill.timers).toBeGreaterThanOrEqual(1)
  })

  it('works in a service worker, which has no workers', async () => {
    const call = await openServiceWorker<EnginePage>(await open('isolated'), 'engine-page.js')
    expect(await call('place')).toMatchObject({ worker: false, alone: 'relaxed' })
    const base = `${site.origin}/isolated/model`
    expect(await call('failureToLoad', base)).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('gemfacet/engine'),
    })
    await call('loadHere', base)
    const { text, texts, turns } = await call('ask', 'How do I find files by name?')
    expect(text).toBe("`find . -name '*.txt'`")
    // At least two turns within each step.
    expect(turns).toBeGreaterThanOrEqual(2 * texts)
    expect((await call('stepHere', base, 1)).turns).toBeGreaterThanOrEqual(2)
  })
})

describe('the choice of a build', () => {
  it('is threads where memory can be shared, else relaxed SIMD', async () => {
    const isolated = await open('isolated')
    expect(await isolated.call('place')).toEqual({
      isolated: true,
      worker: true,
      threaded: 'threads',
      alone: 'relaxed',
    })
    const plain = await open('plain')
    expect(await plain.call('place')).toEqual({
      isolated: false,
      worker: true,
      threaded: 'relaxed',
      alone: 'relaxed',
    })
  })
})
