/** The raters' page and what stands behind it: links that work once, pairs without names, ratings kept as they come. */
import { randomBytes } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { getCookie, setCookie } from 'hono/cookie'
import { drawOf, shuffledBy } from '../draw.ts'
import { other, type Pair, type Side } from '../sxs/pair.ts'
import type { Winner } from '../sxs/preference.ts'
import { files } from './page/bundle.gen.ts'
import type { Choice, View } from './page/view.ts'
import type { Ratings } from './ratings.ts'

export interface RaterOptions {
  readonly pairs: readonly Pair[]
  readonly ratings: Ratings
  /** Names of those who may rate, one link each. */
  readonly raters: readonly string[]
  /** Decides the order of the pairs and of their answers, for each rater another. */
  readonly seed: number
  readonly onRating?: (rater: string, done: number) => void
}

export interface RaterSite {
  readonly app: Hono
  /** Path and query of each rater's link, in the order of the raters. */
  readonly links: readonly { readonly rater: string; readonly path: string }[]
}

const BODY_BYTES = 1000
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])$/
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** To be served on loopback alone. */
export function createRaterSite(options: RaterOptions): RaterSite {
  const tokens = new Map(options.raters.map((rater) => [secret(), new Desk(rater, options)]))
  const links = [...tokens].map(([token, { rater }]) => ({ rater, path: `/?token=${token}` }))
  const desks = new Map<string, Desk>()
  // Browsers send a host's cookies to all of its ports.
  const cookie = `facet-rate-${randomBytes(4).toString('hex')}`
  const deskOf = (c: Context): Desk | undefined => desks.get(getCookie(c, cookie) ?? '')

  const app = new Hono()
  app.use(async (c, next) => {
    const { hostname, host } = new URL(c.req.url)
    const origin = c.req.header('origin')
    // Another site's page may reach this address under a name of its own.
    const strange = !LOOPBACK.test(hostname) || (origin !== undefined && origin !== `http://${host}`)
    if (strange) return c.text('This page answers on this machine alone.', 403)
    await next()
    const { headers } = c.res
    headers.set('content-security-policy', POLICY)
    headers.set('x-content-type-options', 'nosniff')
    headers.set('referrer-policy', 'no-referrer')
    headers.set('cache-control', 'no-store')
  })
  app.get('/', (c) => {
    const token = c.req.query('token') ?? ''
    const desk = tokens.get(token)
    if (desk) {
      tokens.delete(token)
      const session = secret()
      desks.set(session, desk)
      setCookie(c, cookie, session, { httpOnly: true, sameSite: 'Strict', path: '/' })
      return c.redirect('/', 303)
    }
    if (!deskOf(c)) return c.text('A link works once; run facet eval rate again for a new one.', 403)
    return token === '' ? fileOf('index.html') : c.redirect('/', 303)
  })
  app.get('/page/:name', (c) => fileOf(c.req.param('name')))
  app.get('/api/view', (c) => {
    const desk = deskOf(c)
    return desk ? c.json(desk.view()) : c.json(NOBODY, 403)
  })
  app.post('/api/ratings', bodyLimit({ maxSize: BODY_BYTES }), async (c) => {
    const desk = deskOf(c)
    if (!desk) return c.json(NOBODY, 403)
    const { key, choice } = await bodyOf(c)
    if (!isChoice(choice) || !desk.rate(key, choice)) {
      return c.json({ error: 'key must be that of a pair, and choice first, second or tie.' }, 400)
    }
    return c.json(desk.view())
  })
  app.post('/api/undo', (c) => {
    const desk = deskOf(c)
    if (!desk) return c.json(NOBODY, 403)
    desk.undo()
    return c.json(desk.view())
  })
  return { app, links }
}

const NOBODY = { error: 'Open the page by the link that facet eval rate has printed.' }

/** What one rater has before them. Pairs are numbered in the order of this rater: ids might tell something. */
class Desk {
  readonly rater: string
  readonly #options: RaterOptions
  readonly #pairs: readonly Pair[]

  constructor(rater: string, options: RaterOptions) {
    this.rater = rater
    this.#options = options
    this.#pairs = shuffledBy(options.seed, `order for ${rater}`, options.pairs)
  }

  view(): View {
    const done = this.#done()
    const key = this.#pairs.findIndex(({ id }) => !done.has(id))
    const pair = this.#pairs[key]
    const first = pair && this.#firstOf(pair)
    return {
      rater: this.rater,
      done: done.size,
      total: this.#pairs.length,
      pair: pair && first ? { key, prompt: pair.prompt, answers: [pair[first], pair[other(first)]] } : null,
    }
  }

  /** @returns whether there is such a pair */
  rate(key: unknown, choice: Choice): boolean {
    const pair = typeof key === 'number' ? this.#pairs[key] : undefined
    if (!pair) return false
    const first = this.#firstOf(pair)
    const winners: Readonly<Record<Choice, Winner>> = { first, second: other(first), tie: 'tie' }
    this.#options.ratings.save({ rater: this.rater, pair: pair.id, winner: winners[choice], first })
    this.#options.onRating?.(this.rater, this.#done().size)
    return true
  }

  undo(): void {
    this.#options.ratings.undo(this.rater)
  }

  #firstOf({ id }: Pair): Side {
    return drawOf(this.#options.seed, `side for ${this.rater}`, id) < 0.5 ? 'a' : 'b'
  }

  /** Ids that are rated and still in the run. */
  #done(): Set<string> {
    const rated = new Set(this.#options.ratings.of(this.rater).map(({ pair }) => pair))
    return new Set(this.#pairs.map(({ id }) => id).filter((id) => rated.has(id)))
  }
}

function isChoice(value: unknown): value is Choice {
  return value === 'first' || value === 'second' || value === 'tie'
}

async function bodyOf(c: Context): Promise<{ readonly key?: unknown; readonly choice?: unknown }> {
  const body: unknown = await c.req.json().catch(() => undefined)
  return typeof body === 'object' && body !== null ? body : {}
}

function fileOf(name: string): Response {
  const file = Object.hasOwn(files, name) ? files[name] : undefined
  if (!file) return new Response('There is no such file.', { status: 404 })
  return new Response(file.text, { headers: { 'content-type': file.type } })
}

function secret(): string {
  return randomBytes(24).toString('base64url')
}
