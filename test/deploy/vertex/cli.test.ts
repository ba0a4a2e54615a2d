import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { facet, withoutPackages } from '../../cli/facet.ts'
import { SHORT_LOAD } from '../../cli/in-process.ts'
import { VertexCommands } from './commands.ts'
import type { World } from './world.ts'

let commands: VertexCommands
let world: World
let home: string
let target: 'vertex-gpu' | 'vertex-tpu'

/** @param model that the server behind the endpoint is asked for */
async function start(which: typeof target, model?: string): Promise<void> {
  target = which
  commands = await VertexCommands.open({ target, model })
  world = commands.world
  home = commands.home
}

afterEach(() => commands.close())

const run = (name: string, ...args: readonly string[]): Promise<string> => commands.run(name, target, ...args)

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
    expect(await commands.run('bench', 'gemma', ...SHORT_LOAD)).toMatch(/answered +4 of 4/)
    const [first] = deployed()
    await commands.configure({ contextTokens: 4096 })
    expect(await run('canary')).toMatch(/^gemma is promoted\. errors 0 of /)
    const [second] = deployed()
    expect(second!.id).not.toBe(first!.id)
    await commands.configure({ contextTokens: 2048 })
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
