import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toJsonText, toLiteral } from '../../src/edge/page/literal.ts'
import { type SnippetOptions, toBody, toSnippet } from '../../src/edge/page/snippets.ts'

const OPTIONS: SnippetOptions = {
  baseURL: 'http://127.0.0.1:8787/v1',
  request: {
    model: 'gemma',
    messages: [
      { role: 'system', content: 'Don\'t say "no", say `$HOME`\\n\nnever' },
      { role: 'user', content: "What's 'this'?" },
    ],
    temperature: 0,
    topK: 40,
    stop: ["'''"],
    logprobs: 5,
  },
  keyed: false,
}

/** The arguments a shell would give to curl. */
function curlArguments(command: string): string[] {
  const script = `curl() { for argument in "$@"; do printf '%s\\0' "$argument"; done; }\n${command}`
  const env = { FACET_API_KEY: 'from the environment' }
  return execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8', env }).split('\0').slice(0, -1)
}

const nothing = (): ReadableStream => new ReadableStream({ start: (stream) => stream.close() })

/** Runs a snippet's statements with its imports replaced; top-level await is allowed. */
async function run(code: string, names: Readonly<Record<string, unknown>>): Promise<void> {
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...values: unknown[]) => Promise<void>
  const body = code.replace(/^import .*$/m, '')
  await new AsyncFunction(...Object.keys(names), body)(...Object.values(names))
}

describe('the code for what is on screen', () => {
  it('is a curl command whose arguments survive a shell, quotes and all', async () => {
    const [, url, , type, , data, ...more] = curlArguments(await toSnippet('curl', OPTIONS))
    expect(url).toBe('http://127.0.0.1:8787/v1/chat/completions')
    expect(type).toBe('Content-Type: application/json')
    expect(JSON.parse(data!)).toEqual(await toBody(OPTIONS))
    expect(JSON.parse(data!)).toMatchObject({ top_k: 40, logprobs: true, top_logprobs: 5, stream: true })
    expect(more).toEqual([])
  })

  it('names a key and never holds one', async () => {
    const keyed = { ...OPTIONS, keyed: true }
    expect(curlArguments(await toSnippet('curl', keyed))).toContain(
      'Authorization: Bearer from the environment',
    )
    expect(await toSnippet('gemfacet', keyed)).toContain('apiKey: process.env.FACET_API_KEY')
    expect(await toSnippet('openai', keyed)).toContain('apiKey: process.env.FACET_API_KEY')
  })

  it('asks the same through our client', async () => {
    const asked: unknown[] = []
    const createClient = (options: unknown) => ({
      chat: (request: unknown) => {
        asked.push(options, request)
        return nothing()
      },
    })
    await run(await toSnippet('gemfacet', OPTIONS), { createClient })
    expect(asked).toEqual([{ baseURL: OPTIONS.baseURL }, OPTIONS.request])
  })

  it('loads the model where the page does, when it runs in the page', async () => {
    const asked: unknown[] = []
    const loadEngine = async (...parameters: unknown[]) => ({
      chat: (request: unknown) => {
        asked.push(...parameters, request)
        return nothing()
      },
    })
    const local = { graph: 'webgpu', location: 'http://127.0.0.1:8787/model/' } as const
    const code = await toSnippet('gemfacet', { ...OPTIONS, local })
    expect(code).toContain("from 'gemfacet/engine/browser'")
    await run(code, { loadEngine })
    expect(asked).toEqual([local.location, { graph: 'webgpu' }, OPTIONS.request])
  })

  it("asks the same through OpenAI's client", async () => {
    const asked: unknown[] = []
    class OpenAI {
      readonly chat = {
        completions: {
          create: async (body: unknown) => {
            asked.push(body)
            return nothing()
          },
        },
      }
    }
    await run(await toSnippet('openai', OPTIONS), { OpenAI })
    expect(asked).toEqual([await toBody(OPTIONS)])
  })

  it('says what is wrong with a request that cannot be sent', async () => {
    const request = { ...OPTIONS.request, topK: Number.NaN }
    await expect(toBody({ ...OPTIONS, request })).rejects.toThrow('topK must be a finite number')
  })

  it('writes data as JavaScript and as JSON that read back as the same data', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const read = new Function(`return (${toLiteral(value)})`)()
        expect(JSON.stringify(read)).toBe(JSON.stringify(value))
        expect(JSON.stringify(JSON.parse(toJsonText(value)))).toBe(JSON.stringify(value))
      }),
    )
  })
})
