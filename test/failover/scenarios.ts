/**
 * The failover scenarios: what a provider does wrong, and what a caller should see of it.
 *
 * S01 to S16 follow the catalogue and the scoring of Failover Bench, methodology 0.1
 * (https://github.com/failoverbench/failoverbench); E01 to E05 are our own.
 */
import { ANSWER, type Fault, healthy, type Provider, type Reply } from './provider.ts'

/** What one call came to. */
export interface Outcome {
  /** The stream ended as a whole answer would. */
  readonly ok: boolean
  readonly text: string
  readonly model?: string | undefined
  readonly usage?: boolean | undefined
  readonly error?: string | undefined
}

/** What is tested: a client, or a gateway with a client in front. */
export interface Subject {
  readonly fallback: boolean
  ask(own?: { readonly signal?: AbortSignal; readonly onText?: () => 'leave' | undefined }): Promise<Outcome>
}

/** How long things take. The limits are what subjects are configured with. */
export interface Times {
  readonly retryAfterS: number
  readonly firstTokenLimitMs: number
  readonly idleLimitMs: number
  readonly slowMs: number
  readonly stallMs: number
  readonly silenceMs: number
  readonly keepaliveMs: number
  readonly outageMs: number
  readonly everyMs: number
}

/** One scenario under way. */
export interface Stage {
  readonly times: Times
  readonly primary: Provider
  readonly other: Provider
  readonly fallback: Provider
  readonly subject: Subject
  readonly now: () => number
  /** Lets time pass between two calls. */
  readonly pass: (ms: number) => Promise<void>
}

export interface Check {
  readonly name: string
  readonly ok: boolean
  /** Where it fails the scenario is passed in part. */
  readonly advisory?: boolean
}

export interface Scenario {
  readonly id: string
  readonly title: string
  /** @param wait a pause on the provider's side */
  readonly primary: (times: Times, wait: (ms: number) => Promise<void>, now: () => number) => Fault
  readonly fallback?: Fault
  /** Default: one call. */
  readonly drive?: (stage: Stage) => Promise<Outcome>
  /** True where the caller acts on words as they come. */
  readonly streams?: boolean
  /** Default: answer. */
  readonly ideal?: 'answer' | 'error'
  readonly checks?: (stage: Stage, outcome: Outcome, elapsedMs: number) => Check[] | Promise<Check[]>
}

/** pass: rescued. partial: rescued, but not as it should be. safe: a clean error. fail: a lie, or a hang. */
export type Verdict = 'pass' | 'partial' | 'safe' | 'fail'

export function verdictOf(
  { ideal = 'answer' }: Scenario,
  outcome: Outcome,
  checks: readonly Check[],
): Verdict {
  const whole = outcome.ok && outcome.text === ANSWER
  if (outcome.ok && !whole) return 'fail'
  if (checks.some(({ ok, advisory }) => !ok && !advisory)) return 'fail'
  if (ideal === 'error' && whole) return 'partial'
  if (ideal === 'answer' && !whole) return 'safe'
  return checks.every(({ ok }) => ok) ? 'pass' : 'partial'
}

const first =
  (fault: (reply: Reply) => void): (() => Fault) =>
  () =>
  (reply, n) =>
    n === 1 ? fault(reply) : healthy(reply, n)

const always =
  (fault: (reply: Reply) => void): (() => Fault) =>
  () =>
  (reply) =>
    fault(reply)

const cutMidAnswer = always((reply) => reply.open().words(0, 40).cut())

/** Comments until the connection is closed. */
async function keepAlive(
  { response }: Reply,
  everyMs: number,
  wait: (ms: number) => Promise<void>,
): Promise<void> {
  while (!response.destroyed && !response.writableEnded) {
    response.write(': keepalive\n\n')
    await wait(everyMs)
  }
}

const atMost =
  (most: number): NonNullable<Scenario['checks']> =>
  ({ primary }) => [{ name: `at most ${most} attempts`, ok: primary.seen.length <= most }]

/** Three attempts up to the limit, and the waits between them. */
const inTime = (limitMs: number, elapsedMs: number): Check => ({
  name: 'ends within three limits',
  ok: elapsedMs <= limitMs * 3 + 4000,
})

const once: NonNullable<Scenario['checks']> = ({ primary }) => [
  { name: 'does not ask the same model again', ok: primary.seen.length === 1 },
]

/** A healthy call after the bad one. */
async function isAlive({ subject }: Stage): Promise<Check> {
  const { ok, text } = await subject.ask()
  return { name: 'works afterwards', ok: ok && text === ANSWER }
}

/** Answered by the fallback before the primary would have. */
const soon =
  (limit: (times: Times) => number): NonNullable<Scenario['checks']> =>
  ({ times, subject }, _, elapsedMs) =>
    subject.fallback
      ? [{ name: 'limits the wait for the first token', ok: elapsedMs <= limit(times), advisory: true }]
      : []

export const SCENARIOS: readonly Scenario[] = [
  {
    id: 'S01',
    title: '429 with Retry-After',
    primary: ({ retryAfterS }) =>
      first((reply) => reply.refuse(429, {}, { 'retry-after': String(retryAfterS) }))(),
    checks({ primary: { seen }, times }) {
      const gapMs = seen.length > 1 ? seen[1]!.atMs - seen[0]!.atMs : Number.NaN
      const early = seen.filter(({ atMs }) => atMs - seen[0]!.atMs < times.retryAfterS * 750)
      return [
        { name: 'asks again', ok: seen.length >= 2, advisory: true },
        { name: 'waits as asked', ok: gapMs >= times.retryAfterS * 900, advisory: true },
        { name: 'does not hammer', ok: early.length <= 2 },
      ]
    },
  },
  {
    id: 'S02',
    title: '429 without Retry-After, for ever',
    primary: always((reply) => reply.refuse(429)),
    checks: atMost(4),
  },
  {
    id: 'S03',
    title: '500 once, then healthy',
    primary: first((reply) => reply.refuse(500)),
    checks: ({ primary }) => [{ name: 'asks again', ok: primary.seen.length >= 2, advisory: true }],
  },
  { id: 'S04', title: '503 for ever', primary: always((reply) => reply.refuse(503)), checks: atMost(6) },
  { id: 'S05', title: 'Connection reset before headers', primary: first((reply) => reply.reset()) },
  {
    id: 'S06',
    title: 'No response at all',
    primary:
      ({ silenceMs }, wait) =>
      async ({ response }) => {
        await wait(silenceMs)
        response.destroy()
      },
    checks: ({ times, primary }, _, elapsedMs) => [
      inTime(times.firstTokenLimitMs, elapsedMs),
      { name: 'does not ask a silent server again', ok: primary.seen.length === 1, advisory: true },
    ],
  },
  {
    id: 'S07',
    title: 'Slow first token',
    primary:
      ({ slowMs }, wait) =>
      async (reply) => {
        reply.open()
        await wait(slowMs)
        reply.words().finish()
      },
    checks: soon(({ slowMs }) => slowMs * 0.75),
  },
  { id: 'S08', title: 'Stream cut mid-answer', primary: cutMidAnswer },
  {
    id: 'S09',
    title: 'Stream stalls',
    primary:
      ({ stallMs }, wait) =>
      async (reply, n) => {
        if (n > 1) return healthy(reply, n)
        reply.open().words(0, 20)
        await wait(stallMs)
        reply.response.end()
      },
    checks: async (stage, _, elapsedMs) => [
      { name: 'ends within 1.5 stalls', ok: elapsedMs <= stage.times.stallMs * 1.5 },
      await isAlive(stage),
    ],
  },
  {
    id: 'S10',
    title: 'Malformed chunk in the stream',
    primary: first((reply) => reply.open().words(0, 9).raw('data: {"choices": [{\n\n').words(9).finish()),
    checks: async (stage) => [await isAlive(stage)],
  },
  {
    id: 'S11',
    title: 'Stream ends without [DONE]',
    primary: always((reply) => reply.open().words().finish(false)),
    checks: ({ times }, { usage }, elapsedMs) => [
      { name: 'does not wait for it', ok: elapsedMs < times.idleLimitMs },
      { name: 'reports usage', ok: usage === true, advisory: true },
    ],
  },
  {
    id: 'S12',
    title: 'Context length exceeded',
    primary: always((reply) =>
      reply.refuse(400, { type: 'invalid_request_error', code: 'context_length_exceeded' }),
    ),
    checks: once,
  },
  {
    id: 'S13',
    title: 'Content-filter rejection',
    primary: always((reply) =>
      reply.refuse(400, { type: 'invalid_request_error', code: 'content_policy_violation' }),
    ),
    ideal: 'error',
    checks: once,
  },
  {
    id: 'S14',
    title: 'Stream cut, and the fallback takes no prefill',
    primary: cutMidAnswer,
    fallback: (reply, n) => (reply.lastRole === 'assistant' ? reply.refuse(400) : healthy(reply, n)),
    checks: (_, { error = '' }) => [
      { name: 'does not hide the failure', ok: !error.includes('The provider says 400') },
    ],
  },
  {
    id: 'S15',
    title: 'Down, then healthy again',
    primary: ({ outageMs }, _, now) => {
      const startedMs = now()
      return (reply, n) => (now() - startedMs < outageMs ? reply.refuse(503) : healthy(reply, n))
    },
    async drive(stage) {
      const { subject, times, primary, pass, now } = stage
      const startedMs = now()
      let last = await subject.ask()
      for (let n = 1; n < 20; n++) {
        await pass(times.everyMs)
        const isOut = now() - startedMs < times.outageMs
        last = await subject.ask()
        if (isOut && subject.fallback && !last.ok) return last
      }
      // Half of an outage after its end at the latest.
      const isBack = primary.seen.some(({ atMs }) => atMs - startedMs >= times.outageMs)
      return isBack && last.model === 'primary' ? last : { ...last, ok: false, error: 'never came back' }
    },
  },
  {
    id: 'S16',
    title: 'Says who answered, and counts only that',
    primary: always((reply) => reply.refuse(503)),
    checks: ({ primary, subject }, { model, usage }) => [
      { name: 'at most 6 attempts', ok: primary.seen.length <= 6 },
      { name: 'names the fallback', ok: !subject.fallback || model === 'fallback' },
      { name: 'reports usage', ok: !subject.fallback || usage === true, advisory: true },
    ],
  },
  {
    id: 'E01',
    title: 'Only keepalives, no first token',
    primary:
      ({ keepaliveMs }, wait) =>
      (reply) =>
        keepAlive(reply.open(), keepaliveMs, wait),
    checks: ({ times }, _, elapsedMs) => [inTime(times.firstTokenLimitMs, elapsedMs)],
  },
  {
    id: 'E02',
    title: 'Only keepalives in the middle of the answer',
    primary:
      ({ keepaliveMs }, wait) =>
      (reply) =>
        keepAlive(reply.open().words(0, 20), keepaliveMs, wait),
    checks: ({ times }, _, elapsedMs) => [inTime(times.idleLimitMs, elapsedMs)],
  },
  {
    id: 'E03',
    title: 'Aborted at every point',
    streams: true,
    // Silent at the first two points, streaming at the third.
    primary: () => (reply, n) => {
      if (n >= 2) reply.open()
      if (n >= 3) reply.words(0, 5)
    },
    ideal: 'error',
    async drive({ subject, primary, fallback }) {
      const early = await subject.ask({ signal: AbortSignal.abort() })
      if (early.ok || primary.seen.length > 0) return { ...early, ok: true, error: 'sent although aborted' }
      for (const point of [1, 2, 3]) {
        const control = new AbortController()
        const stop = (): undefined => void control.abort()
        const asked = subject.ask({ signal: control.signal, onText: stop })
        await primary.requests(point)
        if (point < 3) stop()
        if ((await asked).ok) return { ok: true, text: 'went on although aborted' }
        await primary.seen[point - 1]!.closed
      }
      return { ok: primary.seen.length + fallback.seen.length > 3, text: '', error: 'aborted' }
    },
  },
  {
    id: 'E04',
    title: 'The caller leaves in the middle',
    streams: true,
    primary: () => (reply) => void reply.open().words(0, 5),
    ideal: 'error',
    async drive({ subject, primary, fallback }) {
      await subject.ask({ onText: () => 'leave' })
      await primary.seen[0]!.closed
      return { ok: primary.seen.length + fallback.seen.length > 1, text: '', error: 'left' }
    },
  },
  {
    id: 'E05',
    title: 'Another backend at the same address during an outage',
    primary: () => healthy,
    async drive({ subject, primary, other, times, pass }) {
      await subject.ask()
      await primary.stop()
      const during = await subject.ask()
      if (subject.fallback && during.model !== 'fallback')
        return { ...during, ok: false, error: 'not rescued' }
      await primary.replaceWith(other)
      let after = during
      for (let n = 0; n < 10 && after.model !== 'other'; n++) {
        await pass(times.everyMs)
        after = await subject.ask()
      }
      return after.model === 'other' ? after : { ...after, ok: false, error: 'never asked the new one' }
    },
  },
]
