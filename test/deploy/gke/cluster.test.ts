/** Clusters and node pools from up to down, by Google's own client library against a service in memory. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { down } from '../../../deploy/down.ts'
import { OWNER_LABEL } from '../../../deploy/target.ts'
import { status, up } from '../../../deploy/up.ts'
import { want } from '../../../deploy/want.ts'
import { FacetError } from '../../../src/errors.ts'
import { facet } from '../../cli/facet.ts'
import { quotaExceeded, stockout } from '../../google-apis/clusters.ts'
import { denied, GoogleStatus } from '../../google-apis/status.ts'
import { gkeGpu } from '../specs.ts'
import { CLUSTER, planOf, Stage, Tokens } from './stage.ts'

let stage: Stage
beforeEach(async () => {
  stage = await Stage.open()
})
afterEach(() => stage.close())

const bring = async (planned = planOf(), options = stage.options()) =>
  up(await stage.target(planned), planned, options)
const take = async (planned = planOf(), options = stage.options()) =>
  down(await stage.target(planned), planned, options)

describe('a cluster of the deployment', () => {
  it('comes with its node pool and what runs there, once, and leaves nothing behind', async () => {
    const steps: string[] = []
    const done = await bring(planOf(), { ...stage.options(), onStep: ({ what }) => steps.push(what) })
    expect(done.finding.cause).toBe('READY')
    expect(done.applied.map(({ type }) => type)).toEqual(want(planOf()).map(() => 'create'))
    expect(done.endpoint).toMatchObject({ kubeContext: 'gke_my-project_us-central1_serving' })
    expect(steps.join('\n')).toMatch(/Cluster serving: CREATE_CLUSTER, \d+% done/)

    const writes = (): number => stage.google.calls.filter(({ method }) => !/^(Get|List)/.test(method)).length
    const before = { writes: writes(), version: stage.api.store.version }
    expect((await bring()).applied).toEqual([])
    expect({ writes: writes(), version: stage.api.store.version }).toEqual(before)

    const { removed } = await take()
    expect(removed.map(({ kind }) => kind).slice(-2)).toEqual(['Node pool', 'Cluster'])
    expect([...stage.clusters.clusters]).toEqual([])
    expect((await take()).removed).toEqual([])
  })

  it('is sent whole: nothing that the service does not know', async () => {
    await bring()
    const sent = stage.google.calls
    const [cluster, pool] = want(planOf())
    expect(sent.find(({ method }) => method === 'CreateCluster')?.request.cluster).toMatchObject(
      cluster!.body,
    )
    const { request } = sent.find(({ method }) => method === 'CreateNodePool')!
    expect(request.parent).toBe(CLUSTER)
    expect(request.nodePool).toMatchObject({
      ...pool!.body,
      locations: ['us-central1-a'],
      initialNodeCount: 1,
      config: { labels: { [OWNER_LABEL]: 'gemma' } },
    })
  })

  it('that is there already and not ours is never touched', async () => {
    stage.clusters.put(CLUSTER)
    await expect(bring()).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/^Cluster serving is already there and was not made by Facet/),
    })
    expect((await take()).left.map(({ name }) => name)).toEqual(['serving'])
    expect(stage.google.calls.filter(({ method }) => /^(Create|Delete|Set)/.test(method))).toEqual([])
  })

  it('stays where somebody else has nodes in it, and says so', async () => {
    await bring()
    stage.clusters.clusters.get(CLUSTER)!.nodePools!.push({ name: 'batch', status: 'RUNNING' })
    await expect(take()).rejects.toThrow(/holds what this deployment did not make \(node pool batch\)/)
    expect(stage.google.count('DeleteCluster')).toBe(0)
  })

  it('stays where another deployment runs in it, and says so', async () => {
    await bring()
    const ours = stage.deployment()!
    stage.api.put({
      ...ours,
      metadata: { name: 'other', namespace: 'facet', labels: { [OWNER_LABEL]: 'other' } },
    })
    await expect(take()).rejects.toThrow(/Cluster serving also serves other, so it is left alone/)
    expect(stage.google.count('DeleteCluster')).toBe(0)
  })
})

describe('a cluster that GKE does not get made', () => {
  it.each([
    [quotaExceeded('CPUS', 24, 28), /^QUOTA: Quota CPUS does not suffice, its limit is 24, 28 are wanted/],
    [{ code: 'UNKNOWN', message: 'Something else' }, /^Cluster serving was not made: Something else\./],
  ])('ends the run with its cause, and goes by down: %j', async (failure, says) => {
    stage.clusters.clusterFailure = failure
    await expect(bring()).rejects.toMatchObject({ code: 'unavailable', message: expect.stringMatching(says) })
    await expect(bring()).rejects.toThrow(/run facet down, then facet up\.$/)
    stage.clusters.clusterFailure = undefined
    await take()
    expect((await bring()).finding.cause).toBe('READY')
  })
})

describe('a cluster that must be there', () => {
  const there = planOf({ create: false })

  it('is found by its name, and left as it was', async () => {
    stage.clusters.put(CLUSTER)
    expect((await bring(there)).finding.cause).toBe('READY')
    await take(there)
    expect(stage.clusters.clusters.get(CLUSTER)).toMatchObject({ status: 'RUNNING' })
    expect(stage.google.calls.filter(({ method }) => /^(Create|Delete|Set)/.test(method))).toEqual([])
  })

  it('is given a pool where that is wanted, and only that is taken again', async () => {
    stage.clusters.put(CLUSTER, { nodePools: [{ name: 'theirs', status: 'RUNNING' }] })
    const planned = planOf({ create: false, nodes: 'pool' })
    await bring(planned)
    expect(stage.clusters.poolNames()).toHaveLength(2)
    await take(planned)
    expect(stage.clusters.poolNames()).toEqual(['theirs'])
  })

  it('and is not, is told before anything is made', async () => {
    await expect(bring(there)).rejects.toMatchObject({ code: 'not_found', field: 'cluster.name' })
    expect((await take(there)).removed).toEqual([])
  })

  it('but was made by this deployment, is not forgotten', async () => {
    await bring()
    await expect(take(there)).rejects.toMatchObject({ field: 'cluster.create' })
  })
})

describe('a node pool', () => {
  const planned = planOf({ create: false, nodes: 'pool' })

  it('of the same name that somebody else made is never touched', async () => {
    stage.clusters.put(CLUSTER)
    await bring(planned)
    const [ours] = stage.clusters.clusters.get(CLUSTER)!.nodePools!
    stage.clusters.put(CLUSTER, { nodePools: [{ name: ours!.name!, status: 'RUNNING' }] })
    await expect(bring(planned)).rejects.toThrow(/CONFLICT: .*Already exists/)
    await take(planned)
    expect(stage.clusters.poolNames()).toEqual([ours!.name])
    expect(stage.google.count('DeleteNodePool')).toBe(0)
  })

  it('waits for what goes on with its cluster, and is asked for then', async () => {
    stage.clusters.put(CLUSTER)
    const held = new GoogleStatus('FAILED_PRECONDITION', 'Cluster is running incompatible operation op-9.')
    stage.google.next('CreateNodePool', held, held)
    expect((await bring(planned)).finding.cause).toBe('READY')
    stage.google.next('DeleteNodePool', held, held)
    await take(planned)
    expect(stage.clusters.poolNames()).toEqual([])
  })
})

describe('a run that is killed', () => {
  /** Runs that are killed in the middle of their first call, their second, and so on, until one gets through. */
  async function killedAtEveryStep(run: (stop: AbortController) => Promise<unknown>): Promise<number> {
    for (let steps = 1; ; steps++) {
      const stop = new AbortController()
      let left = steps
      // The call still happens; its answer is never heard.
      stage.google.onCall = () => --left === 0 && stop.abort()
      const killed = await run(stop).then(
        () => false,
        (error: { readonly code?: string }) => error.code === 'aborted' || Promise.reject(error),
      )
      if (!killed) return steps
    }
  }

  it('at any step goes on from there, up and down', async () => {
    stage.clusters.poolFailure = ({ locations }) =>
      locations?.[0] === 'us-central1-a' ? stockout('us-central1-a') : undefined
    expect(await killedAtEveryStep((stop) => bring(planOf(), stage.options(stop)))).toBeGreaterThan(5)
    expect(stage.google.count('CreateCluster')).toBe(1)
    expect(stage.clusters.poolNames()).toHaveLength(2)
    expect((await bring()).applied).toEqual([])
    expect(await killedAtEveryStep((stop) => take(planOf(), stage.options(stop)))).toBeGreaterThan(5)
    expect([...stage.clusters.clusters]).toEqual([])
  })

  it('finds the operation that it began by its name', async () => {
    const stop = new AbortController()
    stage.google.onCall = ({ method }) => method === 'GetOperation' && stop.abort()
    await expect(bring(planOf(), stage.options(stop))).rejects.toMatchObject({ code: 'aborted' })
    expect([...stage.operations.names.values()]).toEqual(['operation-1'])
    stage.google.calls.length = 0
    stage.google.onCall = () => undefined
    await bring()
    const looked = stage.google.calls.filter(({ method }) => /Operation/.test(method))
    expect(looked[0]).toMatchObject({
      method: 'GetOperation',
      request: { name: 'projects/my-project/locations/us-central1/operations/operation-1' },
    })
    expect(stage.google.count('ListOperations')).toBe(0)
  })

  it('finds by what it is about an operation whose name was never heard', async () => {
    stage.google.next('CreateCluster', 'lost')
    const stop = new AbortController()
    stage.google.onCall = ({ method }) => method === 'CreateCluster' && stop.abort()
    await expect(bring(planOf(), stage.options(stop))).rejects.toMatchObject({ code: 'aborted' })
    stage.google.onCall = () => undefined
    await bring()
    expect(stage.google.count('ListOperations')).toBeGreaterThan(0)
    expect(stage.google.count('CreateCluster')).toBe(1)
  })

  it('and taken down before the cluster stands waits until it may be deleted', async () => {
    const stop = new AbortController()
    stage.google.onCall = ({ method }) => method === 'GetOperation' && stop.abort()
    await expect(bring(planOf(), stage.options(stop))).rejects.toMatchObject({ code: 'aborted' })
    stage.google.onCall = () => undefined
    stage.clusters.steps = 1
    await take()
    expect([...stage.clusters.clusters]).toEqual([])
  })
})

it('two runs at once make one cluster and one pool', async () => {
  const both = await Promise.all([bring(), bring()])
  expect(both.map(({ finding }) => finding.cause)).toEqual(['READY', 'READY'])
  expect(stage.clusters.clusters.size).toBe(1)
  expect(stage.clusters.poolNames()).toHaveLength(2)
})

describe('machines that are not to be had', () => {
  const planned = planOf({}, { capacity: ['on-demand', 'spot'] })
  const asked = (): unknown[] =>
    stage.google.calls
      .filter(({ method }) => method === 'CreateNodePool')
      .map(({ request }) => request.nodePool as { locations: string[]; config: { spot?: boolean } })
      .map(({ locations, config }) => `${locations} ${config.spot ? 'spot' : 'on-demand'}`)

  it.each([false, true])('are looked for in the next zone (told early: %s)', async (early) => {
    stage.clusters.tellsEarly = early
    stage.clusters.poolFailure = ({ locations }) =>
      locations?.[0] === 'us-central1-c' ? undefined : stockout(locations![0]!)
    expect((await bring(planned)).finding.cause).toBe('READY')
    expect(asked()).toEqual(['us-central1-a on-demand', 'us-central1-b on-demand', 'us-central1-c on-demand'])
    await take(planned)
    expect([...stage.clusters.clusters]).toEqual([])
  })

  it('are taken from the next kind of capacity where a quota is spent', async () => {
    stage.clusters.poolFailure = ({ config }) =>
      config?.spot ? undefined : quotaExceeded('NVIDIA_L4_GPUS', 1, 2)
    await bring(planned)
    expect(asked()).toEqual(['us-central1-a on-demand', 'us-central1-a spot'])
  })

  it('end the wait where no zone has any, with all that was tried', async () => {
    stage.clusters.poolFailure = ({ locations }) => stockout(locations![0]!)
    await expect(bring(planned)).rejects.toMatchObject({
      code: 'unavailable',
      message:
        'STOCKOUT: None of us-central1-a, us-central1-b, us-central1-c has a g2-standard-24 now (on-demand, spot); add zones or kinds of capacity, or run the command again later.',
    })
    expect(asked()).toHaveLength(6)
    stage.clusters.poolFailure = () => undefined
    expect((await bring(planned)).finding.cause).toBe('READY')
  })

  it('end the wait where the quota is spent, with its id and limit', async () => {
    stage.clusters.poolFailure = () => quotaExceeded('NVIDIA_L4_GPUS', 1, 2)
    await expect(bring(planOf())).rejects.toThrow(
      /^QUOTA: Quota NVIDIA_L4_GPUS does not suffice, its limit is 1, 2 are wanted/,
    )
  })

  it('are the cause that status names while GKE still looks for them', async () => {
    stage.clusters.put(CLUSTER)
    Object.assign(stage.clusters, { tellsEarly: true, poolFailure: () => stockout('us-central1-b') })
    const one = planOf({ create: false, nodes: 'pool', zones: ['us-central1-b'] })
    const stop = new AbortController()
    stage.google.onCall = ({ method }) => method === 'CreateNodePool' && stop.abort()
    await expect(bring(one, stage.options(stop))).rejects.toMatchObject({ code: 'aborted' })
    expect(await status(await stage.target(one), one, stage.options())).toMatchObject({
      cause: 'STOCKOUT',
      zone: 'us-central1-b',
    })
  })

  it('another kind of machine is another pool, and the old one goes when the new one serves', async () => {
    await bring()
    const [before] = stage.clusters.poolNames().filter((name) => name !== 'system')
    await bring(planOf({}, { accelerator: 'h100-80gb', devices: 1 }))
    const after = stage.clusters.poolNames().filter((name) => name !== 'system')
    expect(after).toHaveLength(1)
    expect(after).not.toContain(before)
  })

  it('as many as the plan says, without another pool', async () => {
    await bring()
    const more = planOf({}, { replicas: { min: 1, max: 5 } })
    await bring(more)
    expect(stage.google.count('CreateNodePool')).toBe(1)
    expect(stage.google.count('SetNodePoolAutoscaling')).toBe(1)
    expect((await bring(more)).applied).toEqual([])
  })
})

describe('quotas', () => {
  const L4 = 'NVIDIA-L4-GPUS-per-project-region'

  it('that do not suffice are refused before anything is made, each with id, limit and what is wanted', async () => {
    stage.quotas.limits.set(L4, [
      { value: 8, dimensions: { region: 'us-east1' } },
      { value: 0, applicableLocations: ['us-central1'] },
    ])
    stage.quotas.limits.set('GPUS-ALL-REGIONS-per-project', [{ value: 1 }])
    await expect(bring()).rejects.toMatchObject({
      code: 'rate_limited',
      message: expect.stringMatching(
        /^QUOTA: The limit of NVIDIA-L4-GPUS-per-project-region \(NVIDIA L4 in us-central1\) is 0, but 2 are wanted; of GPUS-ALL-REGIONS-per-project \(GPUs in all regions\) is 1, but 2 are wanted\./,
      ),
    })
    expect(stage.google.calls.filter(({ method }) => /^Create/.test(method))).toEqual([])
  })

  it('that others use up are a warning, since what is in use was counted a while ago', async () => {
    stage.quotas.limits.set(L4, [{ value: 8, dimensions: { region: 'us-central1' } }])
    stage.quotas.metrics.set(L4, 'compute.googleapis.com/nvidia_l4_gpus')
    stage.use.set('compute.googleapis.com/nvidia_l4_gpus us-central1', [7, 1])
    expect((await bring()).finding.cause).toBe('READY')
    expect(stage.warnings.join()).toMatch(
      /Of NVIDIA-L4-GPUS-per-project-region \(NVIDIA L4 in us-central1\) 7 of 8 are in use, and 2 are wanted/,
    )
  })

  it('of one kind of capacity are enough', async () => {
    stage.quotas.limits.set(L4, [{ value: 0 }])
    stage.quotas.limits.set('PREEMPTIBLE-NVIDIA-L4-GPUS-per-project-region', [{ value: 4 }])
    const planned = planOf({}, { capacity: ['on-demand', 'spot'] })
    expect((await bring(planned)).finding.cause).toBe('READY')
  })

  it('are asked for by family where Google counts them so, and for vCPUs', async () => {
    const exact = { region: 'us-central1', gpu_family: 'NVIDIA_H100' }
    stage.quotas.limits.set('GPUS-PER-GPU-FAMILY-per-project-region', [
      { value: -1, applicableLocations: ['us-central1'] },
      { value: 0, dimensions: exact },
    ])
    const planned = planOf({}, { accelerator: 'h100-80gb', devices: 1 })
    await expect(bring(planned)).rejects.toThrow(/GPUS-PER-GPU-FAMILY-per-project-region .* is 0, but 1/)
    stage.quotas.limits.set('CPUS-per-project-region', [{ value: 27 }])
    await expect(bring()).rejects.toThrow(/CPUS-per-project-region \(vCPUs in us-central1\) is 27, but 28/)
  })

  it('that may not be read are a warning', async () => {
    stage.google.always('GetQuotaInfo', denied('cloudquotas.quotas.get', 'my-project'))
    expect((await bring()).finding.cause).toBe('READY')
    expect(stage.warnings.join()).toMatch(/Quotas were not compared\. IAM: A role is missing/)
  })
})

describe('signing in', () => {
  it('goes on with another token where one ends in the middle, at Google and in the cluster', async () => {
    stage.tokens = new Tokens('first', 'second')
    stage.google.tokens.add('first')
    stage.api.users.set('second', 'admin')
    stage.google.onCall = ({ method }) => {
      if (method !== 'CreateNodePool') return
      stage.google.tokens.delete('first')
      stage.google.tokens.add('second')
    }
    expect((await bring()).finding.cause).toBe('READY')
    stage.tokens.list.unshift('gone')
    stage.google.tokens.add('gone')
    expect((await bring()).applied).toEqual([])
  })

  it('without credentials is told before anything is asked', async () => {
    const none = new FacetError('unauthorized', 'There are no Google credentials here; sign in.')
    stage.tokens.token = () => Promise.reject(none)
    await expect(bring()).rejects.toBe(none)
    await expect(take()).rejects.toBe(none)
    expect(stage.google.calls).toEqual([])
  })

  it('is by what Google knows of whoever runs the command', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'facet-cluster-'))
    const spec = { ...gkeGpu, cluster: { name: 'serving', create: true } }
    await writeFile(
      join(folder, 'facet.config.ts'),
      `export default ${JSON.stringify({ deployments: { gemma: spec } })}\n`,
    )
    const env = { HOME: folder, GCE_METADATA_HOST: '127.0.0.1:9', GOOGLE_APPLICATION_CREDENTIALS: '' }
    const ran = await facet(['up', 'gemma', '--config', folder], { env })
    await rm(folder, { recursive: true })
    expect(ran).toMatchObject({ code: 1, stdout: '' })
    expect(ran.stderr).toMatch(
      /There are no Google credentials here; .*gcloud auth application-default login/,
    )
  })

  it('without a role is told with the role, and nothing is made', async () => {
    stage.google.always('CreateCluster', denied('container.clusters.create', 'projects/my-project'))
    await expect(bring()).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('roles/container.clusterAdmin (for container.clusters.create)'),
    })
  })
})

describe('a service that is not well', () => {
  it('is asked again, and its lost answers are found', async () => {
    const busy = new GoogleStatus('UNAVAILABLE', 'The service is currently unavailable.')
    stage.google.next('GetCluster', busy, new GoogleStatus('INTERNAL', 'Internal error encountered.'))
    stage.google.next('CreateCluster', 'lost')
    stage.google.next('CreateNodePool', 'lost')
    stage.google.next('GetOperation', busy)
    expect((await bring()).finding.cause).toBe('READY')
    stage.google.next('DeleteNodePool', 'lost')
    stage.google.next('DeleteCluster', 'lost')
    await take()
    expect([...stage.clusters.clusters]).toEqual([])
  })

  it('that answers 500 for good ends the run with what it said', async () => {
    stage.google.always('CreateCluster', new GoogleStatus('INTERNAL', 'Internal error encountered.'))
    await expect(bring()).rejects.toThrow(/INTERNAL to create cluster serving: Internal error encountered/)
  })

  it('that hangs for a while is waited for', async () => {
    const planned = planOf()
    stage.google.next('GetOperation', 'hang')
    const done = await up(await stage.target(planned, 500), planned, stage.options())
    expect(done.finding.cause).toBe('READY')
  })

  it('that hangs for good ends the run, and the next goes on', async () => {
    const planned = planOf()
    stage.clusters.steps = 50
    stage.google.always('GetOperation', 'hang')
    const short = { ...stage.options(), resourceMs: 60_000 }
    await expect(up(await stage.target(planned, 50), planned, short)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/^Waited 1 min in vain: NETWORK: .*\(read operation operation-1\)/),
    })
    stage.google.always('GetOperation', 'answer')
    stage.clusters.steps = 2
    expect((await bring()).finding.cause).toBe('READY')
    expect(stage.google.count('CreateCluster')).toBe(1)
  })
})
