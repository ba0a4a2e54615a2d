/** Cloud Run from plan to down as a user types it, against Google's own clients and a server of ours behind the address. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { systemClock } from '../../../deploy/waiting.ts'
import { collect } from '../../../src/client/collect.ts'
import { loadConfig } from '../../../src/config/node.ts'
import { createEdge, toApiKeys } from '../../../src/edge/app.ts'
import { type Served, serve } from '../../../src/edge/entry/node.ts'
import { type Engine, loadEngine } from '../../../src/engine/node.ts'
import { SHORT_LOAD, said } from '../../cli/in-process.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { SPEC, World } from './world.ts'

/** Where Google's clients connect; everything else is as it is for a user. */
const google = vi.hoisted(() => ({ options: (_: unknown): object => ({}), root: '' }))
const here = vi.hoisted(
  () =>
    <T>(Client: T): T =>
      class extends (Client as new (options: object) => object) {
        constructor(options: { readonly authClient?: unknown }) {
          super(google.options(options.authClient))
        }
      } as T,
)

vi.mock('@google-cloud/run', async (original) => {
  const { ServicesClient, RevisionsClient } = await original<typeof import('@google-cloud/run')>()
  return { ServicesClient: here(ServicesClient), RevisionsClient: here(RevisionsClient) }
})
vi.mock('@google-cloud/cloudbuild', async (original) => {
  const { CloudBuildClient } = await original<typeof import('@google-cloud/cloudbuild')>()
  return { CloudBuildClient: here(CloudBuildClient) }
})
vi.mock('../../../deploy/package-root.ts', () => ({ packageRoot: () => google.root }))

const SAMPLE = fileURLToPath(new URL('../../../models/facet-tldr-24m', import.meta.url))

let world: World
let home: string
let engine: Engine
let server: Served

/** What facet.config.ts says from now on. */
function configure(changes: object): void {
  const canary = { steps: [10, 50], stepMinutes: 1 }
  const config = {
    deployments: { gemma: { ...SPEC, canary, ...changes } },
    endpoints: { gemma: { type: 'deployed' } },
  }
  writeFileSync(join(home, 'facet.config.ts'), `export default ${JSON.stringify(config)}`)
}

beforeEach(async () => {
  world = await World.start()
  google.options = (signIn) => world.google.clientOptions(signIn as never)
  google.root = world.root
  engine = await loadEngine(SAMPLE, { id: 'gemma-2b-it', threads: 1 })
  const secret = () => [...world.project.secrets.values()][0]!.versions.at(-1)!.data
  const app = createEdge({ backends: [engine], keys: () => toApiKeys(secret(), 'FACET_API_KEYS') })
  server = await serve({ app, port: 0 })
  world.project.uri = server.url
  home = mkdtempSync(join(tmpdir(), 'facet-cloudrun-cli-'))
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  configure({})
  writeFileSync(
    join(home, 'key.json'),
    JSON.stringify({ type: 'authorized_user', client_id: 'a', client_secret: 'b', refresh_token: 'c' }),
  )
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', join(home, 'key.json'))
  vi.stubEnv('GEMMA_KEYS', world.keys)
  const network = globalThis.fetch
  vi.stubGlobal('fetch', (input: string | URL | Request, init?: RequestInit) => {
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.host === 'oauth2.googleapis.com')
      return Promise.resolve(Response.json({ access_token: 'token-1', expires_in: 3600 }))
    return url.host.endsWith('.googleapis.com')
      ? network(`${world.rest.url}${url.pathname}${url.search}`, init)
      : network(input, init)
  })
  const clock = new SkippingClock()
  vi.spyOn(systemClock, 'sleep').mockImplementation((ms, signal) => clock.sleep(ms, signal))
  vi.spyOn(systemClock, 'now').mockImplementation(() => clock.now())
})

afterEach(async () => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
  vi.unstubAllEnvs()
  rmSync(home, { recursive: true, force: true })
  await server.close(0)
  await engine.close()
  await world[Symbol.asyncDispose]()
})

const run = (name: string, ...args: readonly string[]): Promise<string> =>
  said(name, 'gemma', '--config', home, ...args)

async function chat(): Promise<string> {
  const router = await (await loadConfig(home)).router({ env: { GEMMA_KEYS: world.keys } })
  const messages = [{ role: 'user', content: 'How do I find files by name?' }] as const
  return (await collect(router.chat({ messages, temperature: 0 }))).text
}

it('goes from plan to down, with a load test, a canary and a rollback', async () => {
  expect(await run('plan')).toMatch(/^gemma: cloudrun in us-central1\n/)
  expect(await run('up')).toMatch(/^READY: .* Changes: \d+\.\n$/)
  expect(await run('status')).toMatch(/^READY: /)
  expect(await chat()).toContain("`find . -name '*.txt'`")
  expect(await run('bench', ...SHORT_LOAD)).toMatch(/answered +4 of 4/)
  expect(await run('up')).toMatch(/Nothing had to change\.\n$/)

  configure({ contextTokens: 2048 })
  expect(await run('canary')).toMatch(/^gemma is promoted\. errors 0 of /)
  const promoted = String(world.service.latestCreatedRevision)
  configure({ contextTokens: 1024 })
  world.project.errorsOf = (revision) => (revision === promoted ? 0 : 50)
  await expect(run('canary')).rejects.toThrow(
    /^The canary of gemma is rolled back and removed; the version before runs on\. errors \d+ of /,
  )
  expect(world.service.traffic).toMatchObject([{ percent: 100, revision: promoted.split('/').at(-1) }])
  expect(await chat()).toContain("`find . -name '*.txt'`")

  expect(await run('down')).toMatch(/nothing of gemma is left\.\n$/)
  expect(world.project.billed).toEqual([])
  await expect(run('status')).rejects.toThrow('gemma is not up; run facet up gemma.')
})
