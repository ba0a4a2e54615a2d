/** Workers as a user has them: the commands, the real wrangler, and the Worker in workerd. */
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { systemClock } from '../../../deploy/waiting.ts'
import { collect } from '../../../src/client/collect.ts'
import { loadConfig } from '../../../src/config/node.ts'
import { SHORT_LOAD, said } from '../../cli/in-process.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { FakeCloudflare } from './fake-cloudflare.ts'

const SAMPLE = fileURLToPath(new URL('../../../models/facet-tldr-24m', import.meta.url))
const CHAT = 'https://facet-chat.me.workers.dev/v1/chat/completions'
const QUESTION = 'How do I find files by name?'
const BASE = { target: 'workers', mode: 'model', modelDirectory: 'model', keysEnv: 'KEYS' }
/** wrangler takes seconds to start, and is started ten times. */
const MOST_MS = 170_000

let fake: FakeCloudflare
let home: string

/** What facet.config.ts says from now on. */
function configure(spec: object): void {
  const canary = { steps: [50], stepMinutes: 1, minRequests: 1 }
  const config = JSON.stringify({
    deployments: { chat: { ...BASE, canary, ...spec } },
    endpoints: { chat: { type: 'deployed' } },
  })
  writeFileSync(join(home, 'facet.config.ts'), `export default ${config}`)
}

/** Another model, as its manifest says, which knows the same. */
function useModel(number: number): void {
  const directory = join(home, `model-${number}`)
  cpSync(SAMPLE, directory, { recursive: true })
  appendFileSync(join(directory, 'facet.json'), '\n'.repeat(number))
  configure({ modelDirectory: directory })
}

beforeEach(async () => {
  fake = new FakeCloudflare()
  await fake.open()
  home = mkdtempSync(join(tmpdir(), 'facet-workers-life-'))
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  useModel(1)
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', 'acc')
  vi.stubEnv('CLOUDFLARE_API_TOKEN', fake.token)
  vi.stubEnv('CLOUDFLARE_API_BASE_URL', fake.url)
  vi.stubEnv('KEYS', 'web:a-key-of-sixteen-chars')
  const network = globalThis.fetch
  vi.stubGlobal('fetch', (input: string | URL | Request, init?: RequestInit) => {
    const { href } = new URL(input instanceof Request ? input.url : input)
    return href.includes('.workers.dev/') ? fake.fetch(input, init) : network(input, init)
  })
  const clock = new SkippingClock()
  vi.spyOn(systemClock, 'now').mockImplementation(() => clock.now())
  vi.spyOn(systemClock, 'sleep').mockImplementation(async (ms, signal) => {
    await clock.sleep(ms, signal)
    if (ms < 60_000 && fake.workers.has('facet-chat')) await visit()
  })
})

afterEach(async () => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
  vi.unstubAllEnvs()
  rmSync(home, { recursive: true, force: true })
  await fake.close()
})

const run = (name: string, ...args: readonly string[]): Promise<string> =>
  said(name, 'chat', '--config', home, ...args)

/** Through the client, by the endpoint that is written down. */
async function chat(): Promise<string> {
  const router = await (await loadConfig(home)).router({ env: { KEYS: process.env.KEYS! } })
  return (await collect(router.chat({ messages: [{ role: 'user', content: QUESTION }], temperature: 0 })))
    .text
}

/** Somebody asks: now one version answers, now the other. */
async function visit(): Promise<void> {
  const body = JSON.stringify({ messages: [{ role: 'user', content: QUESTION }], max_tokens: 1 })
  const headers = { 'content-type': 'application/json', authorization: 'Bearer a-key-of-sixteen-chars' }
  await (await fake.fetch(CHAT, { method: 'POST', headers, body })).text()
}

it(
  'goes from plan to down, with a load test, a canary and a rollback, as a user types them',
  async () => {
    expect(await run('plan')).toMatch(/^chat: workers/)
    expect(await run('up')).toMatch(/^READY: .* Changes: 2\.\n$/)
    expect(await run('status')).toMatch(/^READY: /)
    expect(await chat()).toContain("`find . -name '*.txt'`")
    expect(await run('bench', ...SHORT_LOAD)).toMatch(/answered +4 of 4/)
    const first = fake.workers.get('facet-chat')!.serving

    useModel(2)
    expect(await run('canary')).toMatch(/^chat is promoted\. errors 0 of \d+/)
    const second = fake.workers.get('facet-chat')!.serving
    expect(second.id).not.toBe(first.id)

    useModel(3)
    fake.behaviour.fails = (version) => version !== second.id
    await expect(run('canary')).rejects.toThrow(/PROBE: .*1102/)
    expect(fake.workers.get('facet-chat')!.shares).toEqual([{ version_id: second.id, percentage: 100 }])

    expect(await run('logs')).toContain('"path":"/v1/chat/completions"')
    expect(await run('down')).toMatch(/nothing of chat is left\.\n$/)
    expect(fake.workers.size).toBe(0)
    await expect(run('status')).rejects.toThrow('chat is not up; run facet up chat.')
  },
  MOST_MS,
)
