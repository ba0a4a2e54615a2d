import { readFile } from 'node:fs/promises'
import { Hono } from 'hono'
import type { Download, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import type { TokenLogprob } from '../../src/types.ts'
import { FakeBackend } from '../edge/fake-backend.ts'
import { type OpenBrowser, openBrowser } from './chromium.ts'
import { answers, facts, type OpenOptions, type OpenPage, openPage } from './open-page.ts'

let chromium: OpenBrowser
const closers: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  chromium = await openBrowser()
})
afterAll(() => chromium?.close())
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function open(options: OpenOptions = {}): Promise<OpenPage> {
  const opened = await openPage(chromium.browser, options)
  closers.push(opened.close)
  return opened
}

const show = (page: Page, sheet: 'Settings' | 'Code' | 'Live figures' | 'Export'): Promise<void> =>
  page.locator('header').getByRole('button', { name: sheet }).click()

describe('the settings', () => {
  it('send what was changed, and leave out what changes nothing', async () => {
    const { page, backend, ask } = await open()
    await ask('one')
    await facts(page).waitFor()
    expect(Object.keys(backend.requests[0]!).sort()).toEqual(['logprobs', 'messages', 'temperature'])
    await show(page, 'Settings')
    for (const [label, value] of Object.entries({
      Temperature: '0.7',
      'Top-p': '0.9',
      'Min-p': '0.05',
      'Top-k': '40',
      Seed: '7',
      'Repetition penalty': '1.1',
      'Presence penalty': '-0.5',
      'Frequency penalty': '0.3',
      'Longest answer': '12',
      'System prompt': 'Be brief.',
      'Stop at': 'END\n###',
    })) {
      await page.getByLabel(label).fill(value)
    }
    await page.getByLabel('Ask for token probabilities').uncheck()
    await ask('two')
    await facts(page).nth(1).waitFor()
    expect(backend.requests[1]).toEqual({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'one' },
        { role: 'assistant', content: 'Hello!' },
        { role: 'user', content: 'two' },
      ],
      temperature: 0.7,
      topP: 0.9,
      minP: 0.05,
      topK: 40,
      seed: 7,
      repetitionPenalty: 1.1,
      presencePenalty: -0.5,
      frequencyPenalty: 0.3,
      maxTokens: 12,
      stop: ['END', '###'],
    })
    await page.getByRole('button', { name: 'Back to the defaults' }).click()
    await page.waitForFunction(() => document.querySelector('output')!.value === '0')
    expect(await page.getByLabel('System prompt').inputValue()).toBe('')
  })

  it('are as they were left after a reload, until they are set back', async () => {
    const { page, backend, ask } = await open()
    await show(page, 'Settings')
    await page.getByLabel('Temperature').fill('0.7')
    await page.getByLabel('System prompt').fill('Be brief.')
    await page.getByRole('radio', { name: 'JSON' }).check()
    await page.getByLabel('Ask for token probabilities').uncheck()
    await page.reload()
    await ask('one')
    await facts(page).waitFor()
    expect(backend.requests[0]).toMatchObject({
      messages: [{ content: 'Be brief.' }, { content: 'one' }],
      temperature: 0.7,
      responseFormat: { type: 'json_object' },
    })
    expect(backend.requests[0]).not.toHaveProperty('logprobs')
    await show(page, 'Settings')
    await page.getByRole('button', { name: 'Back to the defaults' }).click()
    await page.waitForFunction(() => localStorage.length === 0)
    await page.reload()
    expect(await page.locator('#temperature').inputValue()).toBe('0')
  })

  it('are the defaults where what was kept cannot be read', async () => {
    const { page, complaints } = await open()
    await page.evaluate(() => localStorage.setItem('facet-settings', '{"temperature": 1, "schema":'))
    await page.reload()
    expect(await page.locator('#temperature').inputValue()).toBe('0')
    expect(complaints).toEqual([])
  })

  it('say what is wrong with a number or a schema, and ask nothing until it is right', async () => {
    const { page, backend, question } = await open()
    const state = page.locator('#state')
    await show(page, 'Settings')
    await page.getByLabel('Top-k').fill('0')
    await state.getByText('Top-k:').waitFor()
    await page.getByLabel('Top-k').fill('')
    await state.waitFor({ state: 'hidden' })
    await page.getByRole('radio', { name: 'Schema' }).check()
    await page.getByLabel('JSON Schema of the answer').fill('{"type": "object",}')
    await page.locator('#schema-problem').getByText('Not valid:').waitFor()
    await state.getByText('The schema in the settings is not valid').waitFor()
    await question.fill('now?')
    await question.press('Enter')
    expect(await question.inputValue()).toBe('now?')
    await page.getByLabel('JSON Schema of the answer').fill('[]')
    await state.getByText('a JSON Schema is an object').waitFor()
    expect(backend.requests).toEqual([])
  })

  it('put JSON mode into the request as OpenAI writes it', async () => {
    const bodies: Record<string, unknown>[] = []
    const { page, ask } = await open({
      wrap: (edge) => {
        const app = new Hono()
        app.post('/v1/chat/completions', async ({ req }) => {
          bodies.push(await req.json())
          return new Response(
            'data: {"choices":[{"delta":{"content":"{\\"a\\":\\"`b`\\"}"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
            {
              headers: { 'content-type': 'text/event-stream' },
            },
          )
        })
        return app.route('/', edge)
      },
    })
    await show(page, 'Settings')
    await page.getByRole('radio', { name: 'JSON' }).check()
    await ask('one')
    await facts(page).waitFor()
    await page.getByRole('radio', { name: 'Schema' }).check()
    await page.getByLabel('JSON Schema of the answer').fill('{"type":"object"}')
    await ask('two')
    await facts(page).nth(1).waitFor()
    // As it is: backticks mean nothing in JSON.
    expect(await answers(page).locator('code').allTextContents()).toEqual(Array(2).fill('{"a":"`b`"}'))
    expect(bodies.map(({ response_format }) => response_format)).toEqual([
      { type: 'json_object' },
      { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object' }, strict: true } },
    ])
  })

  it('offer a choice where the server has several models', async () => {
    const [first, second] = ['first', 'second'].map((id) => new FakeBackend({ id }))
    const { page, ask } = await open({ edge: { backends: [first!, second!] } })
    await show(page, 'Settings')
    await page.getByLabel('Model', { exact: true }).selectOption('second')
    await page.locator('#model').getByText('second').waitFor()
    await ask('hello')
    await facts(page).waitFor()
    expect([first!.requests.length, second!.requests.length]).toEqual([0, 1])
  })

  it('ask for a key only where the server does, and keep it nowhere but in memory', async () => {
    const key = 'sk-of-the-reader'
    const { page, ask, backend } = await open({
      wrap: (edge) => {
        const app = new Hono()
        app.use('/v1/*', async ({ req }, next) => {
          if (req.header('authorization') === `Bearer ${key}`) return next()
          return Response.json(
            { error: { message: 'A key is needed.', code: 'unauthorized' } },
            { status: 401 },
          )
        })
        return app.route('/', edge)
      },
    })
    await page.getByText('This server asks for an API key').first().waitFor()
    await show(page, 'Settings')
    const field = page.getByLabel('API key')
    await field.fill('sk-wrong')
    await field.press('Tab')
    await page.getByText('does not take this key').first().waitFor()
    await field.fill(key)
    await field.press('Tab')
    await ask('hello')
    await facts(page).waitFor()
    expect(backend.requests).toHaveLength(1)
    await show(page, 'Code')
    await page.locator('#snippet').getByText('$FACET_API_KEY').waitFor()
    expect(await page.locator('#snippet').textContent()).not.toContain(key)
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]),
    )
    expect(kept).not.toContain(key)
  })
})

describe('an answer', () => {
  it('shows its tokens, and what else the model thought of, to the pointer and to the keyboard', async () => {
    const { page, ask } = await open({ fake: { pieces: ['find', ' .'] } })
    await ask('how?')
    await facts(page).waitFor()
    await page.getByRole('button', { name: 'Token probabilities' }).click()
    const tokens = page.getByRole('option')
    expect(await tokens.allTextContents()).toEqual(['find', ' .'])
    const card = page.locator('#token-card')
    await tokens.first().hover()
    expect(await card.locator('.row').allTextContents()).toEqual([
      'find78%',
      ...[1, 2, 3, 4].map((rank) => `alternative ${rank}<0.1%`),
    ])
    await page.mouse.move(0, 0)
    await card.waitFor({ state: 'hidden' })
    await tokens.first().focus()
    await card.waitFor()
    await page.keyboard.press('ArrowRight')
    expect(await page.evaluate(() => document.activeElement!.ariaLabel)).toMatch(
      /^␣\., 78%; also alternative 1 <0\.1%/,
    )
    await page.keyboard.press('Escape')
    await card.waitFor({ state: 'hidden' })
    await page.getByRole('button', { name: 'Token probabilities' }).click()
    expect(await tokens.count()).toBe(0)
    expect(await answers(page).textContent()).toBe('find .')
  })

  it('is asked for again, and questions are changed, from where they stand in the conversation', async () => {
    const { page, backend, ask } = await open()
    await ask('one')
    await facts(page).waitFor()
    await ask('two')
    await facts(page).nth(1).waitFor()
    await page.getByRole('button', { name: 'Answer again' }).nth(1).click()
    await facts(page).nth(1).waitFor()
    expect(backend.requests[2]).toEqual(backend.requests[1])
    await page.getByRole('button', { name: 'Edit the question' }).first().click()
    const editor = page.getByRole('textbox', { name: 'Edit the question' })
    expect(await editor.inputValue()).toBe('one')
    await editor.press('Escape')
    await page.getByRole('button', { name: 'Edit the question' }).first().click()
    await editor.fill('three')
    await page.getByRole('button', { name: 'Ask again from here' }).click()
    await page.locator('.question').getByText('three').waitFor()
    await facts(page).waitFor()
    expect(await page.locator('.question').allTextContents()).toEqual(['three'])
    expect(backend.requests.at(-1)!.messages).toEqual([{ role: 'user', content: 'three' }])
  })

  it('that broke off says so, is set apart, and is not sent with the next question', async () => {
    const before = (step: number, { messages }: { messages?: readonly unknown[] }): void => {
      const first = JSON.stringify(messages).includes('one')
      if (first && step === 1) throw new FacetError('stream_interrupted', 'The connection broke.')
    }
    const { page, backend, ask } = await open({ fake: { pieces: ['half', ' more'], before } })
    await ask('one')
    await page
      .getByRole('alert')
      .getByText('The answer above is not complete. The connection broke.')
      .waitFor()
    expect(await page.locator('.broken .answer').textContent()).toBe('half')
    await ask('two')
    await facts(page).waitFor()
    expect(backend.requests.at(-1)!.messages).toEqual([{ role: 'user', content: 'two' }])
  })
})

describe('what can be taken along', () => {
  const textOf = async (download: Download): Promise<string> => readFile(await download.path(), 'utf8')

  it('is the conversation, as JSON and as Markdown', async () => {
    const { page, ask } = await open()
    await ask('hello?')
    await facts(page).waitFor()
    const saved: Record<string, string> = {}
    for (const format of ['JSON', 'Markdown']) {
      await show(page, 'Export')
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: format }).click(),
      ])
      saved[download.suggestedFilename().split('.').at(-1)!] = await textOf(download)
    }
    const [exchange] = JSON.parse(saved.json!).exchanges
    expect(exchange).toMatchObject({ question: 'hello?', answer: 'Hello!', outcome: 'complete' })
    expect(exchange.tokens.map(({ text }: TokenLogprob) => text)).toEqual(['Hel', 'lo', '!'])
    expect(saved.md).toContain('## Question\n\n> hello?\n\n## Answer of fake-model (the server)\n\nHello!\n')
  })

  it('is the request on screen as code', async () => {
    const { page, question, ask } = await open({
      context: { permissions: ['clipboard-read', 'clipboard-write'] },
    })
    const code = page.locator('#snippet')
    await ask('one')
    await facts(page).waitFor()
    await show(page, 'Code')
    await code.getByText('curl').waitFor()
    expect(await code.textContent()).toContain('"content": "one"')
    expect(await code.textContent()).not.toContain('Hello!')
    await question.fill('two')
    await page.waitForFunction(() => document.querySelector('#snippet')!.textContent!.includes('two'))
    expect(await code.textContent()).toContain('Hello!')
    await page.getByRole('radio', { name: 'openai' }).check()
    await code.getByText("import OpenAI from 'openai'").waitFor()
    await page.getByRole('button', { name: 'Copy code' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await code.textContent())
  })
})

describe('the live figures', () => {
  it('are drawn while they are looked at, and not asked for otherwise', async () => {
    const { page, requests, ask } = await open()
    const asked = (): number => requests.filter((path) => path === '/metrics').length
    await ask('one')
    await facts(page).waitFor()
    expect(asked()).toBe(0)
    await page.clock.install()
    await show(page, 'Live figures')
    const tile = page.locator('.figure').filter({ hasText: 'Tokens a second' })
    await page.getByText('Every second, from the server').waitFor()
    const line = tile.locator('.line')
    await page.waitForFunction(() => document.querySelector('.figure .value')!.textContent !== '–')
    await page.clock.runFor(1000)
    await page.waitForFunction(() => document.querySelectorAll('.figure .line')[2]!.getAttribute('d'))
    expect(await line.getAttribute('d')).toMatch(/^M[\d.]+ [\d.]+L120 /)
    expect(await tile.getByRole('img').getAttribute('aria-label')).toMatch(
      /^Tokens a second over the last minute: from/,
    )
    await page.getByRole('button', { name: 'Close' }).click()
    const before = asked()
    await page.clock.runFor(10_000)
    expect(asked()).toBe(before)
  })
})
