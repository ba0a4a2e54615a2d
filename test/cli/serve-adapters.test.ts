/** `facet serve --adapter` as people run it, and `facet chat` with it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { loadConfig } from '../../src/config/node.ts'
import { readConfig } from '../../src/convert/checkpoint-files.ts'
import { fixture, temporary } from '../convert/checkpoints.ts'
import { JSON_ADAPTER, writeAdapter } from '../engine/adapter-fixtures.ts'
import { collect } from '../engine/collect.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { fakeHub } from '../pull/fake-hub.ts'
import { filesOf, home } from '../pull/pulling.ts'
import { facet } from './facet.ts'
import { addressIn, type Run, facet as serve, stop } from './server.ts'

const MODEL = 'facet-tldr-24m:json'
const ANSWER = '{"command": "ls -lt"}'

describe('facet serve with an adapter', () => {
  let run: Run
  let url: string
  beforeAll(async () => {
    run = serve(['--adapter', `json=${JSON_ADAPTER}`, '--context', '256'], { PORT: '0' })
    const out = await run.said('Ctrl+C')
    expect(out).toContain(`with adapters: ${MODEL}\n`)
    url = `${addressIn(out)}/v1`
  })
  afterAll(() => stop(run))

  it('lists it and answers as it to the official client', async () => {
    const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 })
    const ids: string[] = []
    for await (const { id } of client.models.list()) ids.push(id)
    expect(ids).toEqual(['facet-tldr-24m', MODEL])
    const ask = (model: string) =>
      client.chat.completions.create({
        model,
        temperature: 0,
        messages: [{ role: 'user', content: 'list files' }],
      })
    const answer = await ask(MODEL)
    expect([answer.model, answer.choices[0]!.message.content]).toEqual([MODEL, ANSWER])
    await expect(ask('facet-tldr-24m:jsom')).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining(`did you mean ${MODEL}?`),
    })
    const embed = async (model: string): Promise<number[]> =>
      (await client.embeddings.create({ model, input: 'list files', encoding_format: 'float' })).data[0]!
        .embedding
    expect(await embed(MODEL)).not.toEqual(await embed('facet-tldr-24m'))
  })

  it('is asked by facet chat --model', async () => {
    const { code, stdout } = await facet([
      'chat',
      '--url',
      url,
      '--model',
      MODEL,
      '--temperature',
      '0',
      'list files',
    ])
    expect([code, stdout]).toEqual([0, `${ANSWER}\n`])
  })
})

it('facet serve pulls an adapter from the hub into the cache', async () => {
  await using hub = await fakeHub(filesOf('lora-json'))
  const { env } = await home({ HF_ENDPOINT: hub.url, PORT: '0' })
  const run = serve(['--adapter', 'json=google/tiny', '--context', '256'], env)
  expect(await run.said('Ctrl+C')).toContain(`with adapters: ${MODEL}\n`)
  await stop(run)
})

describe('facet serve refuses an adapter', () => {
  it('that does not fit, is not there, or cannot be computed, in one sentence', async () => {
    const other = await writeAdapter(await readConfig(fixture('gemma-mqa')), { modules: ['q_proj'] })
    const refusal = async (...args: readonly string[]): Promise<string> => {
      const { ended } = serve(args, { PORT: '0' })
      const { code, err } = await ended
      return `${code} ${err.trim().split('\n').at(-1)}`
    }
    expect(await refusal('--adapter', `other=${other}`)).toContain(
      `[4, 384] for this model; the adapter was trained on another base.`,
    )
    expect(await refusal('--adapter', 'gone=./nowhere')).toBe(
      '1 facet: There is no directory ./nowhere for the adapter gone; check its path.',
    )
    expect(await refusal('--adapter', `json=${JSON_ADAPTER}`, '--engine', 'ort')).toContain(
      '1 facet: Adapters are computed by',
    )
    expect(await refusal('--adapter', `json=${JSON_ADAPTER}`, '--adapter-bytes', '1000')).toMatch(
      /^1 facet: .* more --adapter-bytes\.$/,
    )
    expect(await refusal('--adapter', 'json')).toContain("2 Run 'facet serve --help'")
  })
})

describe('facet.config.ts names adapters of a local endpoint', () => {
  it.each(['a directory', 'a name on the hub'])('by %s', async (place) => {
    await using hub = await fakeHub(filesOf('lora-json'))
    const { env } = await home({ HF_ENDPOINT: hub.url })
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
    const adapters = { json: place === 'a directory' ? JSON_ADAPTER : 'google/tiny' }
    const file = join(await temporary(), 'facet.config.ts')
    const edge = { type: 'local', directory: MODEL_DIRECTORY, model: 'mine', adapters }
    await writeFile(file, `export default ${JSON.stringify({ endpoints: { edge } })}`)
    const loaded = await loadConfig(file)
    try {
      const router = await loaded.router()
      const question = { messages: [{ role: 'user' as const, content: 'list files' }], temperature: 0 }
      expect((await collect(router, { ...question, model: 'mine:json' })).text).toBe(ANSWER)
      expect((await collect(router, { ...question, model: 'mine' })).text).not.toBe(ANSWER)
    } finally {
      await loaded.close()
      vi.unstubAllEnvs()
    }
  })
})
