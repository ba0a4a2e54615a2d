import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CAUSES, type Finding, type Signal } from '../../deploy/cause.ts'
import { classify } from '../../deploy/classify.ts'

const event = (reason: string, message: string, source = 'Pod gemma-0'): Signal => ({
  type: 'event',
  source,
  reason,
  message,
})
const failure = (reason: string, message: string, details?: Record<string, string>): Signal => ({
  type: 'error',
  source: 'Vertex AI',
  reason,
  message,
  ...(details && { details }),
})
const log = (...lines: string[]): Signal => ({ type: 'log', source: 'Pod gemma-0', lines })
const container = (own: Partial<Extract<Signal, { type: 'container' }>>): Signal => ({
  type: 'container',
  source: 'Pod gemma-0',
  container: 'vllm',
  state: 'waiting',
  ready: false,
  restarts: 0,
  ...own,
})
const unschedulable: Signal = {
  type: 'condition',
  source: 'Pod gemma-0',
  reason: 'Unschedulable',
  message: '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.',
}
const crashed = container({
  reason: 'CrashLoopBackOff',
  message: 'back-off 20s restarting failed container=vllm',
  restarts: 2,
  last: { exitCode: 1, reason: 'Error' },
})

const cases: readonly (readonly [what: string, signals: readonly Signal[], finding: Partial<Finding>])[] = [
  [
    'a node pool without machines',
    [
      unschedulable,
      {
        type: 'condition',
        source: 'NodePool gemma-l4',
        reason: 'GCE_STOCKOUT',
        message:
          "Instance 'gke-1' creation failed: The zone 'projects/p/zones/us-central1-a' does not have enough resources available to fulfill the request.",
      },
    ],
    { cause: 'STOCKOUT', zone: 'us-central1-a' },
  ],
  [
    'a stock-out under its longer name',
    [
      failure(
        'ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS',
        "The zone 'projects/p/zones/europe-west4-b' does not have enough resources available.",
      ),
    ],
    { cause: 'STOCKOUT', zone: 'europe-west4-b' },
  ],
  [
    'a scale-up over the quota',
    [
      unschedulable,
      {
        type: 'condition',
        source: 'NodePool gemma-l4',
        reason: 'GCE_QUOTA_EXCEEDED',
        message:
          "Instance 'gke-1' creation failed: Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-central1.",
      },
    ],
    { cause: 'QUOTA', quota: 'NVIDIA_L4_GPUS', limit: 1 },
  ],
  [
    "a quota of Vertex AI's",
    [
      failure(
        'RESOURCE_EXHAUSTED',
        'The following quotas are exceeded: CustomModelServingL4GPUsPerProjectPerRegion',
      ),
    ],
    { cause: 'QUOTA', quota: 'CustomModelServingL4GPUsPerProjectPerRegion' },
  ],
  [
    'the quota of a namespace',
    [
      event(
        'Forbidden',
        'pods "gemma-0" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4',
        'ReplicaSet gemma',
      ),
    ],
    { cause: 'QUOTA', quota: 'gpus', wanted: 2, limit: 4 },
  ],
  [
    'a gated model, before the crash it leads to',
    [
      crashed,
      log(
        'huggingface_hub.errors.GatedRepoError: 403 Client Error.',
        'Cannot access gated repo for url https://huggingface.co/google/gemma-7b-it/resolve/main/config.json.',
      ),
    ],
    { cause: 'GATED_MODEL' },
  ],
  [
    'an agreement nobody accepted',
    [failure('FAILED_PRECONDITION', 'The EULA of publishers/google/models/gemma must be accepted.')],
    { cause: 'GATED_MODEL' },
  ],
  [
    'an image that is not there',
    [
      container({ reason: 'ImagePullBackOff', message: 'Back-off pulling image "vllm/vllm-openai:v0.99"' }),
      event('BackOff', 'Back-off pulling image "vllm/vllm-openai:v0.99"'),
    ],
    { cause: 'IMAGE', image: 'vllm/vllm-openai:v0.99' },
  ],
  [
    'a registry that cannot be reached',
    [
      container({
        reason: 'ErrImagePull',
        message:
          'failed to pull image "vllm/vllm-openai:v0.10.0": dial tcp: lookup registry-1.docker.io: i/o timeout',
      }),
    ],
    { cause: 'NETWORK' },
  ],
  [
    'weights that load',
    [
      container({ state: 'running' }),
      event('Unhealthy', 'Startup probe failed: HTTP probe failed with statuscode: 503'),
      log(
        'Loading safetensors checkpoint shards:  25% Completed | 1/4',
        'Loading safetensors checkpoint shards:  50% Completed | 2/4',
      ),
    ],
    { cause: 'LOADING', share: 0.5 },
  ],
  ['a machine that is on its way', [unschedulable], { cause: 'LOADING' }],
  ['nothing to be seen yet', [], { cause: 'LOADING' }],
  [
    'a context larger than the room for keys and values',
    [
      crashed,
      log(
        "ValueError: The model's max seq len (8192) is larger than the maximum number of tokens that can be stored in KV cache (5984). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
      ),
    ],
    { cause: 'OOM_KV', wantedTokens: 8192, tokens: 5984 },
  ],
  [
    'the same in the words of later versions',
    [
      crashed,
      log(
        "ValueError: To serve at least one request with the models's max seq len (8192), (3.50 GiB KV cache is needed, which is larger than the available KV cache memory (2.56 GiB). Based on the available memory, the estimated maximum model length is 5984.",
      ),
    ],
    { cause: 'OOM_KV', wantedTokens: 8192, tokens: 5984 },
  ],
  [
    'a device that is full',
    [crashed, log('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 96.00 MiB.')],
    { cause: 'OOM_KV' },
  ],
  [
    'a container that the kernel ended',
    [container({ reason: 'CrashLoopBackOff', restarts: 2, last: { exitCode: 137, reason: 'OOMKilled' } })],
    { cause: 'OOM_HOST', container: 'vllm' },
  ],
  [
    'the FUSE sidecar without memory',
    [
      container({
        container: 'gke-gcsfuse-sidecar',
        state: 'terminated',
        reason: 'OOMKilled',
        exitCode: 137,
      }),
    ],
    { cause: 'OOM_HOST', container: 'gke-gcsfuse-sidecar' },
  ],
  [
    'a liveness probe that kills',
    [
      container({ reason: 'CrashLoopBackOff', restarts: 3, last: { exitCode: 137, reason: 'Error' } }),
      event('Killing', 'Container vllm failed liveness probe, will be restarted'),
    ],
    { cause: 'PROBE', probe: 'liveness' },
  ],
  [
    'a server that has started and is not found ready',
    [
      container({ state: 'running' }),
      event('Unhealthy', 'Readiness probe failed: HTTP probe failed with statuscode: 404'),
      log('INFO:     Application startup complete.'),
    ],
    { cause: 'PROBE', probe: 'readiness' },
  ],
  [
    'a role that is missing',
    [
      failure(
        'PERMISSION_DENIED',
        "Permission 'aiplatform.endpoints.create' denied on resource '//aiplatform.googleapis.com/projects/p/locations/us-central1' (or it may not exist).",
      ),
    ],
    { cause: 'IAM', role: 'roles/aiplatform.user (for aiplatform.endpoints.create)' },
  ],
  [
    'a verb that RBAC refuses',
    [
      failure(
        'Forbidden',
        'deployments.apps is forbidden: User "dev" cannot list resource "deployments" in API group "apps" in the namespace "facet"',
      ),
    ],
    { cause: 'IAM', role: 'a Role that may list deployments.apps' },
  ],
  [
    'a bucket that may not be listed',
    [
      event(
        'FailedMount',
        'MountVolume.SetUp failed: rpc error: code = PermissionDenied desc = googleapi: Error 403: pod does not have storage.objects.list access to the Google Cloud Storage bucket.',
      ),
    ],
    { cause: 'IAM', role: 'roles/storage.objectViewer (for storage.objects.list)' },
  ],
  [
    'a token that has ended',
    [failure('UNAUTHENTICATED', 'Request had invalid authentication credentials.')],
    { cause: 'IAM' },
  ],
  [
    'a service that cannot be reached',
    [failure('UNAVAILABLE', '14 UNAVAILABLE: No connection established')],
    { cause: 'NETWORK' },
  ],
  [
    'a pod that cannot resolve names',
    [
      container({ state: 'running' }),
      log('socket.gaierror: [Errno -3] Temporary failure in name resolution'),
    ],
    { cause: 'NETWORK' },
  ],
  [
    'a crash for another reason',
    [crashed, log('Traceback (most recent call last):', "KeyError: 'rope_scaling'")],
    {
      cause: 'CRASH',
      exitCode: 1,
      lines: ['Traceback (most recent call last):', "KeyError: 'rope_scaling'"],
    },
  ],
  [
    'a crash of Vertex AI that comes without a log',
    [
      {
        type: 'condition',
        source: 'Operation 1',
        reason: 'INTERNAL',
        message: 'Model server exited unexpectedly.',
      },
    ],
    { cause: 'CRASH', lines: [] },
  ],
  [
    'a field that the schema refuses',
    [
      failure(
        'BadRequest',
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.replicass"',
      ),
    ],
    { cause: 'SPEC', field: 'spec.replicass' },
  ],
  [
    'the same by server-side apply, which gives no reason',
    [
      failure(
        '500',
        'failed to create typed patch object (facet/uf; apps/v1, Kind=Deployment): .spec.replicass: field not declared in schema',
      ),
    ],
    { cause: 'SPEC', field: 'spec.replicass' },
  ],
  [
    'a secret that is not there',
    [container({ reason: 'CreateContainerConfigError', message: 'secret "hf-token" not found' })],
    { cause: 'SPEC', field: 'secret hf-token' },
  ],
  [
    'a node selector that no pool has',
    [
      unschedulable,
      event(
        'NotTriggerScaleUp',
        "pod didn't trigger scale-up: 2 node(s) didn't match Pod's node affinity/selector",
      ),
    ],
    { cause: 'SPEC', field: 'nodeSelector' },
  ],
  [
    'a field that somebody else holds',
    [
      failure(
        'Conflict',
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply": .spec.replicas',
      ),
    ],
    { cause: 'CONFLICT', manager: 'kubectl-client-side-apply' },
  ],
  ['an answer', [{ type: 'answers', source: 'https://gemma.example.com' }], { cause: 'READY' }],
  [
    'an answer, whatever happened before',
    [
      event('Unhealthy', 'Startup probe failed: connection refused'),
      log('Connection refused', 'INFO:     Application startup complete.'),
      { type: 'answers', source: 'Service gemma' },
    ],
    { cause: 'READY' },
  ],
]

describe('the cause of a deployment that does not answer', () => {
  it.each(cases)('of %s', (_, signals, finding) => {
    const found = classify(signals)
    expect(found).toMatchObject(finding)
    expect(found.says).toMatch(/^[^\n]+[.!?…]$/)
  })

  it('is every one of the list in some case above', () => {
    expect([...new Set(cases.map(([, signals]) => classify(signals).cause))].sort()).toEqual(
      [...CAUSES].sort(),
    )
  })

  it('is one of the list, whatever is seen, in whatever order', () => {
    const words = fc.oneof(
      fc.constantFrom(...cases.flatMap(([, signals]) => signals.flatMap(textsOf))),
      fc.string(),
    )
    const seen = fc.oneof(
      fc.constantFrom(...cases.flatMap(([, signals]) => signals)),
      fc.record({
        type: fc.constantFrom('event' as const, 'condition' as const, 'error' as const),
        source: fc.string(),
        reason: words,
        message: words,
      }),
      fc.record({ type: fc.constant('log' as const), source: fc.string(), lines: fc.array(words) }),
    )
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 6 }), (signals) => {
        const { cause, says } = classify(signals)
        expect(CAUSES).toContain(cause)
        expect(says).not.toContain('\n')
      }),
      { numRuns: 300 },
    )
  })
})

function textsOf(signal: Signal): string[] {
  if (signal.type === 'log') return [...signal.lines]
  return 'message' in signal && signal.message !== undefined ? [signal.message] : []
}
