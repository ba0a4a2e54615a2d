/** The commands that a person types, in this process, against a project on Vertex AI that a test plays. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OAuth2Client } from 'google-auth-library'
import { vi } from 'vitest'
import { systemClock } from '../../../deploy/waiting.ts'
import { said } from '../../cli/in-process.ts'
import { SkippingClock } from '../skipping-clock.ts'
import { World } from './world.ts'

const BASE = {
  model: 'gemma-7b-it',
  project: 'my-project',
  region: 'us-central1',
  canary: { steps: [10, 50], stepMinutes: 1 },
}

type VertexTargetName = 'vertex-gpu' | 'vertex-tpu'

interface OpenOptions {
  /** Default: vertex-gpu. */
  readonly target?: VertexTargetName
  readonly model?: string | undefined
}

/** Google's clients connect to the world; everything else is as it is for a user. */
function redirectClients(world: World): void {
  const here = <T extends new (options: object) => object>(Client: T): T =>
    class extends (Client as new (options: object) => object) {
      constructor(options: { readonly authClient?: unknown }) {
        super(world.google.clientOptions(options.authClient as OAuth2Client))
      }
    } as unknown as T
  vi.doMock('@google-cloud/aiplatform', async (original) => {
    const { v1beta1, protos } = await original<typeof import('@google-cloud/aiplatform')>()
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
  vi.doMock('@google-cloud/cloudquotas', async (original) => {
    const { CloudQuotasClient } = await original<typeof import('@google-cloud/cloudquotas')>()
    return { CloudQuotasClient: here(CloudQuotasClient as never) }
  })
}

export class VertexCommands {
  readonly world: World
  /** Where facet.config.ts lies: a deployment `gemma`. */
  readonly home: string

  readonly #target: VertexTargetName

  private constructor(world: World, home: string, target: VertexTargetName) {
    this.world = world
    this.home = home
    this.#target = target
  }

  /** @param options `model` is what the server behind the endpoint is asked for */
  static async open({ target = 'vertex-gpu', model }: OpenOptions = {}): Promise<VertexCommands> {
    const world = await World.start(model)
    redirectClients(world)
    const home = await mkdtemp(join(tmpdir(), 'facet-vertex-'))
    await writeFile(join(home, 'package.json'), '{ "type": "module" }')
    const key = { type: 'authorized_user', client_id: 'a', client_secret: 'b', refresh_token: 'c' }
    await writeFile(join(home, 'key.json'), JSON.stringify(key))
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
    const commands = new VertexCommands(world, home, target)
    await commands.configure({})
    return commands
  }

  /** What facet.config.ts says from now on. */
  async configure(spec: object): Promise<void> {
    const config = JSON.stringify({ deployments: { gemma: { target: this.#target, ...BASE, ...spec } } })
    await writeFile(join(this.home, 'facet.config.ts'), `export default ${config}`)
  }

  /** @returns what it has written. @throws what the command throws */
  run(name: string, ...args: readonly string[]): Promise<string> {
    return said(name, ...args, '--config', this.home)
  }

  async close(): Promise<void> {
    vi.restoreAllMocks()
    vi.unstubAllGlobals()
    vi.unstubAllEnvs()
    vi.doUnmock('@google-cloud/aiplatform')
    vi.doUnmock('@google-cloud/cloudquotas')
    await rm(this.home, { recursive: true, force: true })
    await this.world.close()
  }
}
