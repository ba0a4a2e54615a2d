import { fileURLToPath } from 'node:url'
import type { BrowserContextOptions, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { EdgeOptions } from '../../src/edge/app.ts'
import { loadEngine } from '../../src/engine/node.ts'
import { FacetError } from '../../src/errors.ts'
import { type FakeOptions, gate } from '../edge/fake-backend.ts'
import { type OpenBrowser, openBrowser } from './chromium.ts'
import { answers, facts, type OpenPage, openPage } from './open-page.ts'

let chromium: OpenBrowser
const closers: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  chromium = await openBrowser()
})
afterAll(() => chromium?.close())
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function open(
  fake: FakeOptions = {},
  context: BrowserContextOptions = {},
  edge: Partial<EdgeOptions> = {},
): Promise<OpenPage> {
  const opened = await openPage(chromium.browser, { fake, context, edge })
  closers.push(opened.close)
  return opened
}

describe('the page', () => {
  it('streams an answer, then says how long it was and how fast it came', async () => {
    const door = gate()
    const before = (step: number) => (step === 1 ? door.passed : undefined)
    const { page, backend, requests, complaints, ask } = await open({
      pieces: ['`find .', " -name '*.txt'`"],
      before,
    })
    await ask('How do I find files by name?')
    await page.getByText('find .', { exact: true }).waitFor()
    expect(await page.locator('.question').textContent()).toBe('How do I find files by name?')
    expect(await facts(page).count()).toBe(0)
    door.open()
    await facts(page).waitFor()
    expect(await answers(page).locator('code').allTextContents()).toEqual(["find . -name '*.txt'"])
    expect(await facts(page).textContent()).toMatch(/^2 tokens · [\d.]+ tokens\/s · first after \d+\.\d\d s$/)
    expect(backend.requests[0]).toMatchObject({
      messages: [{ role: 'user', content: 'How do I find files by name?' }],
      temperature: 0,
    })
    expect(complaints).toEqual([])
    // What several scripts share is in chunks; of the engine, many times the page's size, there is nothing.
    expect(requests.filter((path) => !path.startsWith('/page/chunk')).sort()).toEqual([
      '/',
      '/page/config.json',
      '/page/main.js',
      '/page/page.css',
      '/readyz',
      '/v1/chat/completions',
      '/v1/models',
    ])
  })

  it('stops the backend on the stop button and on Escape, and keeps what was said', async () => {
    const before = (step: number) => (step === 1 ? new Promise<void>(() => {}) : undefined)
    const { page, backend, question, ask } = await open({ pieces: ['half ', 'never'], before })
    await ask('one')
    await answers(page).getByText('half').waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    await backend.idle()
    await facts(page).getByText('stopped').waitFor()
    await ask('two')
    await answers(page).getByText('half').nth(1).waitFor()
    await question.press('Escape')
    await backend.idle()
    await facts(page).getByText('stopped').nth(1).waitFor()
    expect(backend.aborted).toBe(2)
    expect(backend.requests[1]!.messages).toEqual([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'half ' },
      { role: 'user', content: 'two' },
    ])
  })

  it('shows an error in its place with what to do, and asks again without the failed turn', async () => {
    let calls = 0
    const before = (): void => {
      if (calls++ === 0) throw new FacetError('queue_full', 'All places are taken.', { retryAfterMs: 3000 })
    }
    const { page, backend, ask } = await open({ pieces: ['fine'], before })
    await ask('hello')
    const alert = page.getByRole('alert')
    await alert.getByText('All places are taken. Try again in 3 s.').waitFor()
    await alert.getByRole('button', { name: 'Try again' }).click()
    await answers(page).getByText('fine').waitFor()
    expect(await alert.count()).toBe(0)
    expect(backend.requests[1]!.messages).toEqual([{ role: 'user', content: 'hello' }])
  })

  it('shows an error that comes in the middle below what was said', async () => {
    const before = (step: number): void => {
      if (step === 1) throw new FacetError('out_of_memory', 'The memory is full.')
    }
    const { page, ask } = await open({ pieces: ['half', 'never'], before })
    await ask('hello')
    await page.getByRole('alert').getByText('The memory is full.').waitFor()
    expect(await answers(page).textContent()).toBe('half')
  })

  it('offers a new chat where the old one has outgrown the context', async () => {
    const before = (_: number, { messages }: { messages?: readonly unknown[] }): void => {
      if (messages!.length > 1) throw new FacetError('context_length_exceeded', 'The chat is too long.')
    }
    const { page, backend, question, ask } = await open({ pieces: ['yes'], before })
    await ask('one')
    await facts(page).waitFor()
    await ask('two')
    await page.getByRole('button', { name: 'Start a new chat' }).click()
    expect(await page.locator('.turn').count()).toBe(0)
    expect(await question.inputValue()).toBe('two')
    await question.press('Enter')
    await facts(page).waitFor()
    expect(backend.requests.at(-1)!.messages).toEqual([{ role: 'user', content: 'two' }])
  })

  it('shows markup in an answer or a question as text', async () => {
    const evil = '<img src=x onerror="document.title=1"> <b>`<script>document.title=2</script>`</b>'
    const { page, requests, ask } = await open({ pieces: [evil] })
    await ask(evil)
    await facts(page).waitFor()
    expect(await answers(page).textContent()).toBe(evil.replaceAll('`', ''))
    expect(await page.locator('#turns img, #turns b, #turns script').count()).toBe(0)
    expect(await page.title()).toBe('Facet')
    expect(requests.filter((url) => url.includes('x'))).toEqual([])
  })

  it('runs no script but its own', async () => {
    const { page, complaints } = await open()
    const ran = await page.evaluate(() => {
      const script = document.createElement('script')
      script.textContent = 'document.title = "forged"'
      document.body.append(script)
      return document.title
    })
    expect(ran).toBe('Facet')
    expect(complaints.join()).toContain('Content Security Policy')
  })

  it('sends on Enter, breaks the line on Shift+Enter, and sends nothing that is empty', async () => {
    const { page, backend, question } = await open()
    await page.getByRole('button', { name: 'Explain' }).waitFor()
    await question.press('Enter')
    await question.pressSequentially('one')
    await question.press('Shift+Enter')
    await question.pressSequentially('two')
    await page.getByRole('button', { name: 'Send' }).click()
    await facts(page).waitFor()
    expect(backend.requests.map(({ messages }) => messages)).toEqual([
      [{ role: 'user', content: 'one\ntwo' }],
    ])
  })

  it('copies code exactly', async () => {
    const { page, ask } = await open(
      { pieces: ["Run: `find . -name '*.txt'`"] },
      { permissions: ['clipboard-read', 'clipboard-write'] },
    )
    await ask('how?')
    await page.getByRole('button', { name: 'Copy', exact: true }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("find . -name '*.txt'")
  })

  it('sends the settings, and forgets the conversation on New chat', async () => {
    const { page, backend, ask } = await open()
    await page.getByRole('button', { name: 'Settings' }).click()
    await page.getByLabel('Temperature').fill('0.7')
    await page.getByLabel('Longest answer').fill('12')
    await page.keyboard.press('Escape')
    await ask('one')
    await facts(page).waitFor()
    expect(backend.requests[0]).toMatchObject({ temperature: 0.7, maxTokens: 12 })
    await page.getByRole('button', { name: 'New chat' }).click()
    await ask('two')
    await facts(page).waitFor()
    expect(backend.requests[1]!.messages).toEqual([{ role: 'user', content: 'two' }])
  })

  it('abandons the running answer on New chat', async () => {
    const before = (step: number) => (step === 1 ? new Promise<void>(() => {}) : undefined)
    const { page, backend, ask } = await open({ pieces: ['half', 'never'], before })
    await ask('one')
    await answers(page).getByText('half').waitFor()
    await page.getByRole('button', { name: 'New chat' }).click()
    await backend.idle()
    await ask('two')
    await answers(page).getByText('half').waitFor()
    expect(backend.requests[1]!.messages).toEqual([{ role: 'user', content: 'two' }])
  })

  it('waits for a model that is loading, and says so', async () => {
    let loaded = false
    const ready: EdgeOptions['ready'] = () =>
      loaded || { ready: false, reason: 'The model is loading.', progress: 0.42 }
    const { page, backend, question } = await open({}, {}, { ready })
    await page.getByText('The model is loading. (42%)').waitFor()
    await question.fill('too early')
    await question.press('Enter')
    expect(await question.inputValue()).toBe('too early')
    expect(backend.requests).toEqual([])
    loaded = true
    await page.getByText('The model is loading.').waitFor({ state: 'hidden' })
    await question.press('Enter')
    await facts(page).waitFor()
  })

  it('says that the server is gone, and works again when it is back', async () => {
    const { page, ask } = await open()
    await ask('hello')
    await facts(page).waitFor()
    await page.context().setOffline(true)
    await ask('again')
    await page.getByRole('alert').getByText('is the server running there?').waitFor()
    await page.context().setOffline(false)
    await page.getByRole('button', { name: 'Try again' }).click()
    await answers(page).getByText('Hello!').nth(1).waitFor()
  })
})

describe('the page on a phone', () => {
  it('never scrolls sideways, keeps the composer in view, and does not make the browser zoom', async () => {
    const long = `${'x'.repeat(400)} \`${'y'.repeat(400)}\`\n\`curl ${'z'.repeat(300)}\`\n`
    const { page, question, ask } = await open(
      { pieces: [long.repeat(5)] },
      { viewport: { width: 320, height: 568 }, hasTouch: true, isMobile: true },
    )
    const overflows = (): Promise<boolean> =>
      page.evaluate(() =>
        [document.documentElement, document.body, document.querySelector('main')!].some(
          (box) => box.scrollWidth > box.clientWidth || box.scrollLeft > 0,
        ),
      )
    const inView = async (target: Locator): Promise<boolean> => {
      const box = (await target.boundingBox())!
      return box.y >= 0 && box.y + box.height <= 568 && box.x >= 0 && box.x + box.width <= 320
    }
    expect(await overflows()).toBe(false)
    await ask('w'.repeat(300))
    await facts(page).waitFor()
    expect(await overflows()).toBe(false)
    expect(await inView(question)).toBe(true)
    expect(await inView(page.getByRole('button', { name: 'New chat' }))).toBe(true)
    expect(
      await question.evaluate((box) => Number.parseFloat(getComputedStyle(box).fontSize)),
    ).toBeGreaterThanOrEqual(16)
    // As when the keyboard opens.
    await page.setViewportSize({ width: 320, height: 300 })
    await page.waitForFunction(() => {
      const { top, bottom } = document.querySelector('#composer')!.getBoundingClientRect()
      return top >= 0 && bottom <= 300
    })
    // Fingers need about 44 pixels.
    for (const button of await page.getByRole('button').all()) {
      if (!(await button.isVisible())) continue
      if (await button.evaluate((box) => box.closest('.inline') !== null)) continue
      expect((await button.boundingBox())!.height).toBeGreaterThanOrEqual(40)
    }
  })
})

describe('the page by day and by night', () => {
  it.each(['light', 'dark'] as const)(
    'is readable in %s: text has a contrast of 4.5 and more',
    async (colorScheme) => {
      const { page, ask } = await open(
        { pieces: ['Say `this` or\n`that`'], before: () => undefined },
        { colorScheme },
      )
      await page.getByRole('button', { name: 'Explain' }).waitFor()
      const welcome = await contrasts(page, [
        'h1',
        '#model',
        '#heading',
        '#about',
        '#examples button',
        '#note',
      ])
      await ask('hi')
      await facts(page).waitFor()
      const chat = await contrasts(page, [
        '.question',
        '.answer',
        '.inline code',
        '.block code',
        '.facts',
        '#new-chat',
      ])
      for (const [what, { contrast }] of Object.entries({ ...welcome, ...chat })) {
        expect(contrast, what).toBeGreaterThanOrEqual(4.5)
      }
      const { brightness } = welcome['#about']!
      expect(brightness > 0.5).toBe(colorScheme === 'light')
    },
  )

  it('gives every control a name and shows where the focus is', async () => {
    const { page, question } = await open()
    await page.getByRole('button', { name: 'Explain' }).waitFor()
    const names = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('button, input, textarea')].map((control) => {
        const labels = (control as HTMLInputElement).labels ?? []
        return (
          (control.getAttribute('aria-label') ?? '') +
          [...labels].map((l) => l.textContent).join('') +
          control.textContent
        )
      }),
    )
    expect(names.filter((name) => name.trim() === '')).toEqual([])
    await question.focus()
    await page.keyboard.press('Shift+Tab')
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle)
    expect(outline).toBe('solid')
  })
})

describe('the page with the sample model', () => {
  it('introduces it, and answers an example with a click', async () => {
    const engine = await loadEngine(fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url)))
    closers.push(() => engine.close())
    const { page } = await open({}, {}, { backends: [engine] })
    await page.getByText('not one of Google').waitFor()
    expect(await page.locator('#model').textContent()).toBe('facet-tldr-24m · 24M · int4')
    await page.getByRole('button', { name: 'How do I find files by name?' }).click()
    await facts(page).waitFor()
    expect(await answers(page).locator('code').textContent()).toBe("find . -name '*.txt'")
  })
})

/** WCAG's contrast of each element's text against what lies behind it, and how bright that is. */
function contrasts(
  page: Page,
  selectors: readonly string[],
): Promise<Record<string, { contrast: number; brightness: number }>> {
  return page.evaluate((selectors) => {
    const luminance = (color: string): number => {
      const [r = 0, g = 0, b = 0] = color.match(/[\d.]+/g)!.map((channel) => {
        const share = Number(channel) / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const behind = (element: Element | null): string => {
      for (let box = element; box; box = box.parentElement) {
        const { backgroundColor } = getComputedStyle(box)
        if (backgroundColor !== 'rgba(0, 0, 0, 0)') return backgroundColor
      }
      return 'rgb(255, 255, 255)'
    }
    return Object.fromEntries(
      selectors.map((selector) => {
        const element = document.querySelector(selector)!
        const text = luminance(getComputedStyle(element).color)
        const brightness = luminance(behind(element))
        const contrast = (Math.max(text, brightness) + 0.05) / (Math.min(text, brightness) + 0.05)
        return [selector, { contrast, brightness }]
      }),
    )
  }, selectors)
}
