import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { checkDeployments } from '../../deploy/spec-check.ts'
import { ConfigProblem } from '../../src/check.ts'
import { loadConfig } from '../../src/config/node.ts'
import { facet } from '../cli/facet.ts'
import { cloudRun, gkeGpu, gkeTpu, vertexGpu, vertexTpu, workers } from './specs.ts'

const home = mkdtempSync(join(tmpdir(), 'facet-spec-'))
writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
afterAll(() => rmSync(home, { recursive: true, force: true }))

const problem = (spec: unknown): ConfigProblem => {
  try {
    checkDeployments({ gemma: spec }, ['deployments'])
  } catch (error) {
    if (error instanceof ConfigProblem) return error
    throw error
  }
  return expect.unreachable('nothing was found')
}

describe('what stands under deployments', () => {
  it('may be all that the targets take', () => {
    const full = {
      ...gkeGpu,
      model: 'google/gemma-7b-it',
      cluster: {
        name: 'serving',
        location: 'us-central1',
        create: true,
        nodes: 'pool',
        zones: ['us-central1-c', 'us-central1-a'],
        reservation: 'l4s',
      },
      namespace: 'gemma',
      capacity: ['reservation', 'on-demand', 'flex-start', 'spot'],
      adapters: { tldr: { source: 'gs://adapters/tldr', rank: 32 } },
      expose: { to: 'public', host: 'gemma.example.com', keysEnv: 'KEYS' },
      canary: { steps: [1, 10, 50], stepMinutes: 5, minRequests: 200, errorMargin: 0.02, firstTokenMs: 800 },
      weights: { from: 'bucket', uri: 'gs://weights/gemma-7b-it', loader: 'streamer' },
      replicas: { min: 0, max: 4 },
      guard: { dollarsPerHour: 10, dollars: 100, ttlHours: 12 },
    }
    const all = { full, gkeTpu, vertexGpu, vertexTpu, cloudRun, workers }
    const named = Object.fromEntries(Object.entries(all).map(([name, spec]) => [name.toLowerCase(), spec]))
    expect(() => checkDeployments(named, [])).not.toThrow()
  })

  it.each<[string, unknown, string, RegExp]>([
    [
      'a zone of another region',
      { ...gkeGpu, cluster: { name: 'serving', zones: ['us-central1-a', 'us-east1-b'] } },
      '.cluster.zones[1]',
      /must be one of us-central1-a, us-central1-b, us-central1-c/,
    ],
    [
      'a cluster elsewhere',
      { ...gkeGpu, cluster: { name: 'serving', location: 'europe-west4' } },
      '.cluster.location',
      /must be us-central1 or one of its zones/,
    ],
    [
      'a cluster in a zone without the accelerator',
      { ...gkeGpu, cluster: { name: 'serving', location: 'us-central1-f' } },
      '.cluster.location',
      /has no NVIDIA L4; there are some in us-central1-a/,
    ],
    [
      'a field of the cluster with a typo',
      { ...gkeGpu, cluster: { name: 'serving', crate: true } },
      '.cluster.crate',
      /did you mean create\?$/,
    ],
    [
      'a cluster without zones',
      { ...gkeGpu, cluster: { name: 'a', zones: [] } },
      '.cluster.zones',
      /is empty/,
    ],
    ['no kind of capacity', { ...gkeGpu, capacity: [] }, '.capacity', /is empty; leave it out/],
    [
      'keys of a private service',
      { ...cloudRun, public: false },
      '.keysEnv',
      /is for public services: callers/,
    ],
    [
      'a model in an image that is not built',
      { ...cloudRun, modelIn: 'image', image: 'a/b:1' },
      '.modelIn',
      /is for the image that up builds/,
    ],
    ['no target', { model: 'gemma-7b-it' }, '', /lacks target, which is one of gke-gpu/],
    ['a target with a typo', { ...gkeGpu, target: 'gke-gqu' }, '.target', /did you mean gke-gpu\?$/],
    ['a field with a typo', { ...gkeGpu, acelerator: 'l4' }, '.acelerator', /did you mean accelerator\?$/],
    [
      'an accelerator with a typo',
      { ...gkeGpu, accelerator: 'a100-80bg' },
      '.accelerator',
      /did you mean a100-80gb\?$/,
    ],
    [
      'an accelerator of another target',
      { ...gkeTpu, accelerator: 'l4' },
      '.accelerator',
      /must be one of tpu-v5e, tpu-v6e/,
    ],
    [
      'a model with a typo',
      { ...gkeGpu, model: 'google/gema-7b-it' },
      '.model',
      /did you mean gemma-7b-it\?$/,
    ],
    [
      'an accelerator unknown in the region',
      { ...gkeGpu, accelerator: 'a100-80gb', region: 'us-west4' },
      '.region',
      /did you mean us-east4\?$/,
    ],
    ['no project', { ...gkeGpu, project: undefined }, '', /lacks project/],
    ['a project that is none', { ...gkeGpu, project: 'My Project' }, '.project', /Google Cloud project id/],
    ['devices no machine has', { ...gkeGpu, devices: 3 }, '.devices', /must be one of 1, 2, 4, 8, but is 3/],
    [
      'a bucket that is none',
      { ...gkeGpu, weights: { from: 'bucket', uri: 'weights' } },
      '.weights.uri',
      /gs:\/\/bucket/,
    ],
    [
      'a token instead of its variable',
      { ...gkeGpu, weights: { from: 'huggingface', tokenEnv: 'hf_abc-123' } },
      '.weights.tokenEnv',
      /^[^_]*name of an environment variable/,
    ],
    [
      'a public address without keys',
      { ...gkeGpu, expose: { to: 'public', host: 'a.example.com' } },
      '.expose',
      /lacks keysEnv/,
    ],
    [
      'replicas the wrong way round',
      { ...gkeGpu, replicas: { min: 3, max: 2 } },
      '.replicas.min',
      /is 3, but max is 2/,
    ],
    [
      'shares of a canary that fall',
      { ...gkeGpu, canary: { steps: [50, 25] } },
      '.canary.steps',
      /must be a list of rising percentages/,
    ],
    [
      'an image of another region',
      { ...vertexGpu, image: 'europe-west4-docker.pkg.dev/p/r/i:1' },
      '.image',
      /us-central1-docker\.pkg\.dev/,
    ],
    [
      'capacity that Vertex AI has not',
      { ...vertexGpu, capacity: ['reservation'] },
      '.capacity[0]',
      /on-demand, flex-start, spot/,
    ],
    [
      'two kinds of capacity on Vertex AI',
      { ...vertexGpu, capacity: ['spot', 'on-demand'] },
      '.capacity',
      /must name one kind/,
    ],
    ['hours of another capacity', { ...vertexGpu, flexStartHours: 8 }, '.flexStartHours', /flex-start/],
    [
      'scaling to zero with replicas that stay',
      { ...vertexGpu, scaleToZero: { idleMinutes: 10 } },
      '.scaleToZero',
      /needs replicas with min 0/,
    ],
    [
      'a licence that is not accepted',
      { ...vertexGpu, garden: { acceptEula: false } },
      '.garden.acceptEula',
      /must be true, which says/,
    ],
    [
      'what a recipe out of Model Garden would not heed',
      { ...vertexGpu, garden: { acceptEula: true }, kvDtype: 'fp8' },
      '.kvDtype',
      /has no effect with garden/,
    ],
  ])('points at %s', (_, spec, field, message) => {
    const error = problem(spec)
    expect(error.message.startsWith(`deployments.gemma${field} `)).toBe(true)
    expect(error.message).toMatch(message)
  })

  it('must have names that resources can have', () => {
    expect(() => checkDeployments({ 'My Gemma': workers }, ['deployments'])).toThrow(/lower-case letters/)
  })

  it('is told in one sentence, whatever stands there', () => {
    const words = fc.constantFrom(
      'target',
      'gke-gpu',
      'model',
      'gemma-7b-it',
      'region',
      'constructor',
      '__proto__',
    )
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        words,
        fc.integer(),
        fc.constant(null),
        fc.dictionary(words, tie('any')),
        fc.array(tie('any')),
      ),
    })).any
    fc.assert(
      fc.property(value, (spec) => {
        try {
          checkDeployments(spec, [])
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigProblem)
          expect((error as ConfigProblem).message).toMatch(/^[^\n]+[.?]$/)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('facet.config.ts with deployments', () => {
  const write = (source: string): string => {
    const file = join(home, 'facet.config.ts')
    writeFileSync(file, source)
    return file
  }
  const spec = JSON.stringify(gkeGpu)

  it('says the line of a mistake', async () => {
    const file = write(
      `export default {\n  deployments: {\n    big: { target: 'gke-gpu',\n      modell: 'x' } } }`,
    )
    await expect(loadConfig(file)).rejects.toThrow(
      `${file}:4:7: deployments.big.modell is not known; did you mean model?`,
    )
  })

  it('may name an endpoint that is still to be deployed, which a router has not', async () => {
    const file = write(`export default { deployments: { big: ${spec} }, router: { order: ['big'] } }`)
    const loaded = await loadConfig(file)
    await expect(loaded.router()).rejects.toThrow('endpoints.big is not deployed yet')
    const checked = await facet(['config', 'check', file])
    expect(checked).toMatchObject({
      code: 0,
      stdout: 'big              deployed  not deployed yet, target gke-gpu\n',
    })
    const alone = await loadConfig(write(`export default { deployments: { big: ${spec} } } // alone`))
    await expect(alone.router()).rejects.toThrow('Nothing is deployed yet')
  })

  it('is what facet plan goes by, by name and by target', async () => {
    const file = write(
      `export default { deployments: { big: ${spec}, edge: { target: 'workers', mode: 'gateway' } } }`,
    )
    const named = await facet(['plan', 'big', '--config', file, '--json'])
    expect(JSON.parse(named.stdout)).toMatchObject({ name: 'big', devices: 2, memory: { kvTokens: 49_863 } })
    const changed = await facet([
      'plan',
      'gke-gpu',
      '--config',
      home,
      '--accelerator',
      'h100-80gb',
      '--markdown',
    ])
    expect(changed.stdout).toContain('| machine | a3-highgpu-1g: 1 × NVIDIA H100 80 GB |')
    const wrong = await facet(['plan', 'bigg', '--config', file])
    expect(wrong).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'facet: bigg is neither a deployment nor a target; did you mean big?\n',
    })
    const up = await facet(['up', 'edge', '--config', file])
    expect(up.code).toBe(1)
    expect(up.stderr).toMatch(/^facet: The environment variable CLOUDFLARE_ACCOUNT_ID is not set; [^\n]+\n$/)
  })
})
