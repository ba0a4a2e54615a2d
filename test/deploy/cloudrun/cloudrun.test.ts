/** Cloud Run from plan to nothing left, through Google's own client libraries against a fake of its APIs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { failure, SPEC, World } from './world.ts'

const BILLED = ['Bucket', 'Artifact Registry repository', 'Image', 'Secret', 'Cloud Run service']

let world: World

beforeEach(async () => {
  world = await World.start()
})
afterEach(() => world[Symbol.asyncDispose]())

describe('up', () => {
  it('builds the image, deploys the service with the least roles, and says where it answers', async () => {
    const { finding, endpoint } = await world.up()
    expect(finding.cause).toBe('READY')
    expect(endpoint).toEqual({
      baseURL: `${world.project.uri}/v1`,
      model: 'gemma-2b-it',
      keysEnv: 'GEMMA_KEYS',
    })
    const members = [...world.project.policies].flatMap(([on, { bindings }]) =>
      bindings.map(({ role, members: [member] }) => [on.split('/').at(-1), role, member!.split('@')[0]]),
    )
    expect(members.sort()).toEqual([
      ['facet-gemma', 'roles/artifactregistry.writer', 'serviceAccount:facet-gemma-build'],
      ['facet-gemma', 'roles/run.invoker', 'allUsers'],
      ['facet-gemma-keys', 'roles/secretmanager.secretAccessor', 'serviceAccount:facet-gemma'],
      ['models', 'roles/storage.objectViewer', 'serviceAccount:facet-gemma'],
      ['my-project-facet-gemma', 'roles/storage.admin', 'serviceAccount:facet-gemma-build'],
    ])
    expect([...world.project.secrets.values()][0]!.versions.map(({ data }) => data)).toEqual([
      'web:a-key-of-sixteen-chars',
    ])
    expect(JSON.stringify(world.service)).not.toContain('sixteen')
    expect(world.steps.flatMap((step) => (step.type === 'waiting' ? [step.what] : [])).join('\n')).toMatch(
      /facet-gemma waits for .*\/facet:[0-9a-f]{24}\. Cloud Build: step 1 of 1\./,
    )
  })

  it('writes nothing a second time, and does not build again what is the same', async () => {
    await world.up()
    const before = [...world.project.changes]
    expect((await world.up()).applied).toEqual([])
    expect(world.project.changes).toEqual(before)
  })

  it('builds and deploys what has changed, and then removes the image before it', async () => {
    await world.up()
    const first = world.image
    world.rebuild('console.log(2)\n')
    const { applied } = await world.up()
    expect(applied.map(({ type }) => type)).toEqual(['create', 'update', 'delete'])
    expect(world.image).not.toBe(first)
    expect([...world.project.images.keys()]).toEqual([world.image])
  })

  it('sends other keys as a new version, destroys the one before, and makes a revision that reads it', async () => {
    await world.up()
    world.keys = 'web:another-key-of-some-length'
    const { applied } = await world.up()
    expect(applied.map((one) => (one.type === 'update' ? one.want.kind : one.type))).toEqual([
      'Secret',
      'Cloud Run service',
    ])
    expect([...world.project.secrets.values()][0]!.versions.map(({ state, data }) => [state, data])).toEqual([
      ['DESTROYED', ''],
      ['ENABLED', world.keys],
    ])
  })

  it('mends what was changed by hand, and nothing else', async () => {
    await world.up()
    const state = [...world.project.services.values()][0]!
    state.resource = { ...state.resource, ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' }
    const { applied } = await world.up()
    expect(applied).toMatchObject([{ type: 'update', fields: ['service.ingress'] }])
    expect(world.service.ingress).toBe('INGRESS_TRAFFIC_ALL')
  })

  it('is signed in to where it is not public, and closes what was open', async () => {
    await world.up()
    const { keysEnv: _, ...closed } = { ...SPEC, public: false }
    const { endpoint, applied } = await world.up(closed)
    expect(endpoint).toEqual({
      baseURL: `${world.project.uri}/v1`,
      model: 'gemma-2b-it',
      signIn: 'google-id-token',
    })
    expect(applied.flatMap((one) => (one.type === 'delete' ? [one.live.name] : []))).toContain(
      'roles/run.invoker on facet-gemma',
    )
    expect(JSON.stringify([...world.project.policies])).not.toContain('allUsers')
    expect(world.project.secrets.size).toBe(0)
  })

  it('moves its role with the model from one bucket to another', async () => {
    await world.up()
    world.project.buckets.set('others', { resource: { name: 'others', labels: {} }, objects: new Map() })
    await world.up({ ...SPEC, modelDirectory: 'gs://others/gemma' })
    const roles = (bucket: string): number =>
      world.project.policies.get(`//storage.googleapis.com/${bucket}`)!.bindings.length
    expect([roles('models'), roles('others')]).toEqual([0, 1])
  })

  it('takes an image that is there, and builds none', async () => {
    const image = 'us-central1-docker.pkg.dev/my-project/mine/facet:1'
    world.project.images.set(image, 'sha256:1')
    await world.up({ ...SPEC, image })
    expect(world.image).toBe(image)
    expect(world.project.builds).toEqual([])
    expect(world.project.buckets.size).toBe(1)
  })

  it('leaves the bindings of others in a policy as they are', async () => {
    const on = '//storage.googleapis.com/models'
    const others = { role: 'roles/storage.objectViewer', members: ['serviceAccount:other@b'] }
    const conditional = { ...others, condition: { title: 'until noon' } }
    world.project.policies.set(on, { version: 3, etag: 'e', bindings: [others, conditional] })
    await world.up()
    await world.down()
    expect(world.project.policies.get(on)!.bindings).toEqual(expect.arrayContaining([others, conditional]))
    expect(world.project.policies.get(on)!.bindings).toHaveLength(2)
  })

  it('refuses keys that no server would take before anything is made', async () => {
    world.keys = 'just-a-key'
    expect((await failure(world.up())).message).toMatch(/^Entry 1 of GEMMA_KEYS is not name:key/)
    expect(world.project.changes).toEqual([])
  })
})

describe('a model in the image', () => {
  const BAKED = { ...SPEC, modelIn: 'image' } as const
  const readers = (): string[] =>
    world.project.policies
      .get('//storage.googleapis.com/models')!
      .bindings.flatMap(({ members }) => members.map((one) => one.split('@')[0]!))
  const upload = (facet: string): unknown =>
    world.project.buckets.get('models')!.objects.set('gemma-2b-it/facet.json', Buffer.from(facet))

  it('is copied by the build, which alone may read its bucket', async () => {
    upload('{"files":1}')
    expect((await world.up(BAKED)).finding.cause).toBe('READY')
    expect(readers()).toEqual(['serviceAccount:facet-gemma-build'])
    const { volumes = [], containers } = world.service.template as {
      readonly volumes?: readonly object[]
      readonly containers: readonly { readonly args: readonly string[] }[]
    }
    expect(volumes).toEqual([])
    expect(containers[0]!.args.slice(0, 2)).toEqual(['serve', '/model'])
    expect((await world.up(BAKED)).applied).toEqual([])
    await world.down(BAKED)
    expect(world.project.billed).toEqual([])
    expect(readers()).toEqual([])
  })

  it('is another image where the directory holds another', async () => {
    upload('{"files":1}')
    await world.up(BAKED)
    const first = world.image
    upload('{"files":2}')
    await world.up(BAKED)
    expect(world.image).not.toBe(first)
    expect([...world.project.images.keys()]).toEqual([world.image])
  })

  it('goes back to the bucket, with the roles', async () => {
    upload('{"files":1}')
    await world.up(BAKED)
    await world.up()
    expect(readers()).toEqual(['serviceAccount:facet-gemma'])
  })

  it('is missed before anything is made', async () => {
    expect(await failure(world.up(BAKED))).toMatchObject({
      field: 'modelDirectory',
      message: expect.stringMatching(/there is no gs:\/\/models\/gemma-2b-it\/facet\.json; copy a directory/),
    })
    expect(world.project.changes).toEqual([])
  })
})

describe('down', () => {
  it('leaves nothing that costs money, and a second time does nothing', async () => {
    await world.up()
    expect(world.project.billed.length).toBeGreaterThan(4)
    const { removed } = await world.down()
    expect(new Set(removed.flatMap(({ billable, kind }) => (billable ? [kind] : [])))).toEqual(
      new Set(BILLED),
    )
    expect(world.project.billed).toEqual([])
    expect(world.project.accounts.size).toBe(0)
    expect(removed[0]!.kind).toMatch(/Role|Cloud Run service/)
    expect((await world.down()).removed).toEqual([])
  })

  it('cancels a build that runs', async () => {
    const stop = new AbortController()
    world.google.onCall = ({ method }) => method === 'CreateBuild' && setImmediate(() => stop.abort())
    await failure(world.up(SPEC, stop.signal))
    world.google.onCall = () => {}
    world.project.advanceBuilds = () => {}
    await world.down()
    expect(world.project.builds.map(({ status: now }) => now)).toEqual(['CANCELLED'])
    expect(world.project.billed).toEqual([])
  })
})

describe('what is not ours', () => {
  const foreign: readonly (readonly [string, () => void, RegExp])[] = [
    [
      'a service',
      () =>
        world.project.services.set('projects/my-project/locations/us-central1/services/facet-gemma', {
          resource: {
            name: 'x',
            labels: { team: 'other' },
            terminalCondition: { state: 'CONDITION_SUCCEEDED' },
          },
          looks: -1,
        }),
      /Cloud Run service facet-gemma is already there and was not made by Facet/,
    ],
    [
      'a secret of another deployment',
      () =>
        world.project.secrets.set('projects/my-project/secrets/facet-gemma-keys', {
          resource: { labels: { 'gemfacet-deployment': 'other' } },
          versions: [],
        }),
      /Secret facet-gemma-keys is already there and belongs to the deployment other/,
    ],
    [
      'a service account',
      () =>
        world.project.accounts.set('facet-gemma@my-project.iam.gserviceaccount.com', {
          description: 'mine',
        }),
      /Service account facet-gemma is already there and was not made by Facet/,
    ],
    [
      "a bucket of another's project",
      () =>
        world.project.buckets.set('my-project-facet-gemma', {
          resource: { foreign: true },
          objects: new Map(),
        }),
      /^IAM: A role is missing: roles\/storage\.legacyBucketReader \(for storage\.buckets\.get\)/,
    ],
  ]

  it.each(foreign)('is never touched: %s', async (_, make, told) => {
    make()
    expect((await failure(world.up())).message).toMatch(told)
    expect(world.project.changes).toEqual([])
  })

  it('stays when the rest is taken down, its policy too', async () => {
    foreign[0]![1]()
    const on = '//run.googleapis.com/projects/my-project/locations/us-central1/services/facet-gemma'
    const open = { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] }
    world.project.policies.set(on, open)
    const { removed, left } = await world.down()
    expect(removed).toEqual([])
    expect(left.map(({ kind }) => kind)).toEqual(['Cloud Run service'])
    expect(world.project.policies.get(on)).toEqual(open)
  })
})
