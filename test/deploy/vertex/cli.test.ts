import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OAuth2Client } from 'google-auth-library'
import { afterEach, expect, it, vi } from 'vitest'
import { systemClock } from '../../../deploy/waiting.ts'
import { facet, withoutPackages } from '../../cli/facet.ts'
import { SHORT_LOAD, said } from '../../cli/in-process.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { World } from './world.ts'

/** Where Google's clients connect; everything else is as it is for a user. */
const google = vi.hoisted(() => ({ options: undefined as ((signIn: unknown) => object) | undefined }))

vi.mock('@google-cloud/aiplatform', async (original) => {
  const { v1beta1, protos } = await original<typeof import('@google-cloud/aiplatform')>()
  const here = <T extends new (options: object) => object>(Client: T): T =>
    class extends (Client as new (options: object) => object) {
      constructor(options: { readonly authClient?: unknown }) {
        super(google.options!(options.authClient))
      }
    } as unknown as T
  const { EndpointServiceClient, ModelServiceClient, ModelGardenServiceClient } = v1beta1
  return {
    protos,
    v1beta1: {
      EndpointServiceClient: here(EndpointServiceClient as never),
      ModelServiceClient: here(ModelServiceClient as never),
      ModelGardenServiceClient: here(ModelGardenServiceClient as never),
    },
  }
})
vi.mock('@google-cloud/cloudquotas', async (original) => {
  const { CloudQuotasClient } = await original<typeof import('@google-cloud/cloudquotas')>()
  return {
    CloudQuotasClient: class extends CloudQuotasClient {
      constructor(options: { readonly authClient?: unknown }) {
        super(google.options!(options.authClient) as never)
      }
    },
  }
})

let world: World
let home: string
let target: 'vertex-gpu' | 'vertex-tpu'

const BASE = {
  model: 'gemma-7b-it',
  project: 'my-project',
  region: 'us-central1',
  canary: { steps: [10, 50], stepMinutes: 1 },
}

/** What facet.config.ts says from now on. */
async function configure(spec: object): Promise<void> {
  const config = JSON.stringify({ deployments: { gemma: { target, ...BASE, ...spec } } })
  await writeFile(join(home, 'facet.config.ts'), `export default ${config}`)
}

/** @param model that the server behind the endpoint is asked for */
async function start(which: typeof target, model?: string): Promise<void> {
  target = which
  world = await World.start(model)
  google.options = (signIn) => world.google.clientOptions(signIn as OAuth2Client)
  home = await mkdtemp(join(tmpdir(), 'facet-vertex-'))
  await configure({})
  await writeFile(join(home, 'package.json'), '{ "type": "module" }')
  await writeFile(
    join(home, 'key.json'),
    JSON.stringify({ type: 'authorized_user', client_id: 'a', client_secret: 'b', refresh_token: 'c' }),
  )
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', join(home, 'key.json'))
  vi.stubEnv('HF_TOKEN', 'hf-token')
  vi.stubGlobal('fetch', async (input: string | URL, init?: RequestInit) =>
    String(input).includes('oauth2.googleapis.com')
      ? Response.json({ access_token: 'token-1', expires_in: 3600 })
      : world.fetch(input, init),
  )
  const clock = new SkippingClock()
  vi.spyOn(systemClock, 'sleep').mockImplementation((ms, signal) => clock.sleep(ms, signal))
  vi.spyOn(systemClock, 'now').mockImplementation(() => clock.now())
}

afterEach(async () => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
  vi.unstubAllEnvs()
  await rm(home, { recursive: true, force: true })
  await world.close()
})

const run = (name: string, ...args: readonly string[]): Promise<string> =>
  said(name, target, '--config', home, ...args)

const deployed = () => [...world.vertex.endpoints.values()][0]!.deployedModels

it.each([
  ['vertex-gpu', 'gemma-7b-it'],
  // Hex-LLM is asked for no model by its name.
  ['vertex-tpu', ''],
] as const)(
  '%s goes from plan to down, with a load test, a canary and a rollback, as a user types them',
  async (which, model) => {
    await start(which, model)
    world.vertex.looks = 1
    world.log = ['Application startup complete.']
    expect(await run('plan')).toContain(`gemma: ${target} in us-central1\n`)
    expect(await run('up')).toMatch(/^READY: .* Changes: 3\.\n$/)
    const written = JSON.parse(await readFile(join(home, '.facet/endpoints.json'), 'utf8'))
    expect(written.gemma).toMatchObject({
      baseURL: expect.stringMatching(
        /^https:\/\/facet-gemma\.us-central1-\w+\.prediction\.vertexai\.goog\/v1beta1\//,
      ),
      ...(model !== '' && { model }),
    })
    expect(await run('status')).toMatch(/^READY: .* answers, and has the model\.\n/)
    expect(await said('bench', 'gemma', '--config', home, ...SHORT_LOAD)).toMatch(/answered +4 of 4/)
    const [first] = deployed()
    await configure({ contextTokens: 4096 })
    expect(await run('canary')).toMatch(/^gemma is promoted\. errors 0 of /)
    const [second] = deployed()
    expect(second!.id).not.toBe(first!.id)
    await configure({ contextTokens: 2048 })
    world.errorsOf = (id) => (id === second!.id ? 0 : 50)
    await expect(run('canary')).rejects.toThrow(
      /^The canary of gemma is rolled back and removed; the version before runs on\. errors \d+ of /,
    )
    expect(deployed()).toEqual([second])
    expect(await run('logs')).toBe('Application startup complete.\n')
    expect(await run('down')).toBe('Removed 3; nothing of gemma is left.\n')
    expect(world.vertex.endpoints.size + world.vertex.models.size).toBe(0)
    await expect(run('status')).rejects.toThrow('gemma is not up; run facet up gemma.')
  },
)

it('says in one sentence that nobody is signed in', async () => {
  await start('vertex-gpu')
  const env = { GOOGLE_APPLICATION_CREDENTIALS: join(home, 'nothing.json') }
  const { code, stderr } = await facet(['up', 'vertex-gpu', '--config', home], { env })
  expect(code).toBe(1)
  expect(stderr).toMatch(/^facet: GOOGLE_APPLICATION_CREDENTIALS names .*nothing\.json, which does not exist/)
})

it('says in one sentence which package is missing', async () => {
  await start('vertex-gpu')
  const node = withoutPackages('@google-cloud/aiplatform')
  const { code, stderr } = await facet(['up', 'vertex-gpu', '--config', home], { node })
  expect(code).toBe(1)
  expect(stderr).toBe(
    'facet: Deploying to Vertex AI needs the package @google-cloud/aiplatform; run npm install @google-cloud/aiplatform.\n',
  )
})
