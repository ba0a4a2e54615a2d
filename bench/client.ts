/** `npm run bench -- client`: what one streamed token costs in the client alone, without sockets. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import OpenAI from 'openai'
import { createClient } from '../src/client/http.ts'
import { router } from '../src/route/router.ts'
import { peerVersions } from './models.ts'
import { median, round } from './results.ts'

const TOKENS = 20_000
const ROUNDS = 9
const BASE = 'http://bench.invalid/v1'

export interface ClientReport {
  readonly date: string
  readonly node: string
  readonly versions: Readonly<Record<string, string>>
  readonly tokens: number
  readonly rounds: number
  /** Processor time for each token, in microseconds: the median of the rounds. */
  readonly microseconds: Readonly<Record<string, number>>
}

const chunk = (delta: object, more: object = {}): Uint8Array => {
  const choices = [{ index: 0, delta, finish_reason: null, ...more }]
  const json = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices }
  return new TextEncoder().encode(`data: ${JSON.stringify(json)}\n\n`)
}

/** An answer whose every token comes as a piece of its own. */
function answer(): Response {
  const token = chunk({ content: ' token' })
  const end = [chunk({}, { finish_reason: 'stop' }), new TextEncoder().encode('data: [DONE]\n\n')]
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    pull(control) {
      if (sent++ < TOKENS) return control.enqueue(token)
      for (const last of end) control.enqueue(last)
      control.close()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

const fetch: typeof globalThis.fetch = async () => answer()
const messages = [{ role: 'user' as const, content: 'Go on.' }]

async function readFacet(backend: Pick<ReturnType<typeof createClient>, 'chat'>): Promise<number> {
  let count = 0
  for await (const event of backend.chat({ messages })) if (event.type === 'text') count++
  return count
}

const facet = createClient({ baseURL: BASE, fetch })
const routed = router([facet])
const openai = new OpenAI({ baseURL: BASE, apiKey: 'none', fetch })
const provider = createOpenAICompatible({ name: 'any', baseURL: BASE, fetch })

/** How many tokens each one read. */
const READERS: Readonly<Record<string, () => Promise<number>>> = {
  facet: () => readFacet(facet),
  'facet, routed': () => readFacet(routed),
  async openai() {
    let count = 0
    const stream = await openai.chat.completions.create({ model: 'm', messages, stream: true })
    for await (const { choices } of stream) if (choices[0]?.delta.content) count++
    return count
  },
  async ai() {
    let count = 0
    for await (const part of streamText({ model: provider.chatModel('m'), messages }).fullStream) {
      if (part.type === 'text-delta') count++
    }
    return count
  },
}

export async function benchClient(say: (text: string) => void): Promise<ClientReport> {
  const samples = new Map<string, number[]>(Object.keys(READERS).map((name) => [name, []]))
  // The first round warms up.
  for (let at = 0; at <= ROUNDS; at++) {
    for (const [name, read] of Object.entries(READERS)) {
      const before = process.cpuUsage()
      const count = await read()
      const { user, system } = process.cpuUsage(before)
      if (count !== TOKENS) throw new Error(`${name} read ${count} of ${TOKENS} tokens.`)
      if (at > 0) samples.get(name)!.push((user + system) / TOKENS)
    }
    say(`round ${at} of ${ROUNDS}`)
  }
  const medians = [...samples].map(([name, values]) => [name, round(median(values)!)] as const)
  const { openai: openaiVersion, ai: aiVersion } = peerVersions()
  return {
    date: new Date().toISOString(),
    node: process.version,
    versions: { openai: openaiVersion!, ai: aiVersion! },
    tokens: TOKENS,
    rounds: ROUNDS,
    microseconds: Object.fromEntries(medians),
  }
}

export function toClientTable({ microseconds, versions }: ClientReport): string {
  const rows = Object.entries(microseconds).map(
    ([name, value]) =>
      `${`${name} ${versions[name] ?? ''}`.padEnd(20)}${value.toFixed(2).padStart(8)} µs a token`,
  )
  return `${rows.join('\n')}\n`
}
