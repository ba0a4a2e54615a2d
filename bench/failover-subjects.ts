/** Who plays the failover scenarios: Facet's router, and its peers with the same budget: two retries, the same limits. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import OpenAI from 'openai'
import { type Endpoints, facetSubject } from '../test/failover/facet.ts'
import type { Outcome, Subject, Times } from '../test/failover/scenarios.ts'

export interface Entrant {
  readonly name: string
  /** False where the caller gets no words before the whole answer. */
  readonly streams: boolean
  subject(endpoints: Endpoints, times: Times): Subject
}

const PROMPT = 'Say the words.'
const KEY = 'none'

/** @param gateway address of a running Portkey gateway */
export function entrants(gateway: string): readonly Entrant[] {
  return [
    { name: 'facet', streams: true, subject: facetSubject },
    {
      name: 'facet, whole',
      streams: false,
      subject: (endpoints, times) => facetSubject(endpoints, times, { commit: 'finish' }),
    },
    { name: 'openai', streams: true, subject: openaiSubject },
    { name: 'ai', streams: true, subject: aiSubject },
    { name: 'portkey', streams: true, subject: portkeySubject(gateway) },
  ]
}

type Own = Parameters<Subject['ask']>[0]

async function askOpenAI(client: OpenAI, { signal, onText }: NonNullable<Own> = {}): Promise<Outcome> {
  let text = ''
  let model: string | undefined
  let usage = false
  try {
    const stream = await client.chat.completions.create(
      {
        model: 'any',
        messages: [{ role: 'user', content: PROMPT }],
        stream: true,
        stream_options: { include_usage: true },
      },
      signal && { signal },
    )
    for await (const chunk of stream) {
      model = chunk.model
      usage ||= Boolean(chunk.usage)
      const content = chunk.choices[0]?.delta.content ?? ''
      text += content
      if (content && onText?.() === 'leave') return { ok: false, text, model, error: 'left' }
    }
    // An aborted stream ends without an error; its caller knows.
    return { ok: !signal?.aborted, text, model, usage }
  } catch (error) {
    return { ok: false, text, model, error: String(error) }
  }
}

function openaiSubject({ primary }: Endpoints, times: Times): Subject {
  const client = new OpenAI({
    baseURL: primary,
    apiKey: KEY,
    maxRetries: 2,
    timeout: times.firstTokenLimitMs,
    logLevel: 'off',
  })
  return { fallback: false, ask: (own) => askOpenAI(client, own) }
}

function aiSubject({ primary }: Endpoints, times: Times): Subject {
  const provider = createOpenAICompatible({ name: 'any', baseURL: primary, apiKey: KEY, includeUsage: true })
  return {
    fallback: false,
    async ask({ signal, onText } = {}): Promise<Outcome> {
      let text = ''
      let model: string | undefined
      try {
        const { fullStream } = streamText({
          model: provider.chatModel('any'),
          prompt: PROMPT,
          maxRetries: 2,
          timeout: { firstChunkMs: times.firstTokenLimitMs, chunkMs: times.idleLimitMs },
          onError: () => {},
          ...(signal && { abortSignal: signal }),
        })
        for await (const part of fullStream) {
          if (part.type === 'error') return { ok: false, text, model, error: String(part.error) }
          if (part.type === 'abort') return { ok: false, text, model, error: 'aborted' }
          if (part.type === 'finish-step') model = part.response.modelId
          if (part.type === 'finish') {
            // It says "other" where the provider did not say why it ended.
            const ok = part.finishReason === 'stop'
            return {
              ok,
              text,
              model,
              usage: part.totalUsage.outputTokens !== undefined,
              error: part.finishReason,
            }
          }
          if (part.type !== 'text-delta') continue
          text += part.text
          if (onText?.() === 'leave') return { ok: false, text, model, error: 'left' }
        }
        return { ok: false, text, model, error: 'no finish' }
      } catch (error) {
        return { ok: false, text, model, error: String(error) }
      }
    },
  }
}

const portkeySubject =
  (gateway: string) =>
  ({ primary, fallback }: Endpoints, times: Times): Subject => {
    const target = { provider: 'openai', api_key: KEY }
    const retry = { attempts: 2, on_status_codes: [429, 500, 502, 503, 504], use_retry_after_header: true }
    const config = {
      strategy: { mode: 'fallback' },
      request_timeout: times.firstTokenLimitMs,
      targets: [
        { ...target, custom_host: primary, retry },
        { ...target, custom_host: fallback },
      ],
    }
    const client = new OpenAI({
      baseURL: gateway,
      apiKey: KEY,
      maxRetries: 0,
      logLevel: 'off',
      defaultHeaders: { 'x-portkey-config': JSON.stringify(config) },
    })
    return { fallback: true, ask: (own) => askOpenAI(client, own) }
  }

/** Portkey's gateway in a process of its own. */
export class Portkey {
  readonly address: string
  readonly #child: ChildProcess

  private constructor(address: string, child: ChildProcess) {
    this.address = address
    this.#child = child
  }

  static async start(): Promise<Portkey> {
    const port = await freePort()
    const bench = createRequire(import.meta.url)
    const entry = bench.resolve('@portkey-ai/gateway/build/start-server.js')
    const preload = new URL('portkey-preload.ts', import.meta.url).href
    const child = spawn(process.execPath, ['--import', preload, entry, `--port=${port}`, '--headless'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await new Promise<void>((resolve, reject) => {
      child.stdout!.setEncoding('utf8').on('data', (said: string) => {
        if (said.includes('Ready')) resolve()
      })
      child.once('exit', (code) => reject(new Error(`Portkey's gateway ended with ${code}.`)))
    })
    return new Portkey(`http://127.0.0.1:${port}/v1`, child)
  }

  stop(): void {
    this.#child.kill()
  }
}

/** A port nobody listens on now: the gateway cannot choose one itself. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
