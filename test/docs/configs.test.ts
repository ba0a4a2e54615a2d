/** Every facet.config.ts of the documentation holds, and every deployment in it has a plan. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { blocksOf, PAGES } from './pages.ts'
import { Place } from './place.ts'

/** A command is a process, on a machine that may be busy. */
const MOST_MS = 60_000

const configs = PAGES.flatMap((page) =>
  blocksOf(page, 'ts').filter(({ code }) => code.includes('export default defineConfig(')),
)

/** The names below `deployments`, by their indentation. */
function deploymentsIn(code: string): string[] {
  const [, below = ''] = /^ {2}deployments: \{\n(.*?)^ {2}\}/ms.exec(code) ?? []
  return [...below.matchAll(/^ {4}(\w+): \{/gm)].map(([, name]) => name!)
}

describe('facet.config.ts', () => {
  let place: Place
  beforeAll(() => {
    place = new Place()
    place.env.GEMMA_KEY = 'a-key'
  })
  afterAll(() => place.close())

  it('stands in the documentation', () => {
    expect(configs.length).toBeGreaterThan(3)
    expect(configs.flatMap(({ code }) => deploymentsIn(code)).length).toBeGreaterThan(3)
  })

  it.each(configs)(
    'of $page, line $line',
    async ({ code }) => {
      place.write('facet.config.ts', code)
      const checked = await place.run('facet config check')
      expect(checked.code, checked.text).toBe(0)
      for (const name of deploymentsIn(code)) {
        const planned = await place.run(`facet plan ${name}`)
        expect(planned.code, planned.text).toBe(0)
      }
    },
    MOST_MS,
  )
})
