/** The lint of manifests: one example of every defect of public samples, and how it reads once repaired. */
import fc from 'fast-check'
import { loadAll } from 'js-yaml'
import { describe, expect, it } from 'vitest'
import { toOverlayObjects } from '../../../deploy/k8s/kustomize.ts'
import { lint, RULES, type Rule } from '../../../deploy/k8s/lint.ts'
import { toBase } from '../../../deploy/k8s/manifests.ts'
import { BASE, OVERLAYS, SCALING } from '../../../deploy/k8s/presets.ts'
import { toScaledObject } from '../../../deploy/k8s/scaling.ts'
import type { Json } from '../../../deploy/target.ts'

/** A pod that nothing is to be said about; the parts in capitals are what examples change. */
const POD = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: gemma, labels: {app: LABEL}}
spec:
  REPLICAS
  template:
    metadata: {annotations: {ANNOTATIONS}}
    spec:
      nodeSelector: {cloud.google.com/gke-accelerator: nvidia-h100-80gb}
      AFFINITY
      volumes: [VOLUMES]
      containers:
      - name: server
        image: vllm/vllm-openai:VERSION
        args: ["--model=google/gemma-7b-it", ARGUMENT]
        env: [ENV]
        resources: {limits: {nvidia.com/gpu: GPUS}}
        PROBES
`
const PROBES = `startupProbe: {httpGet: {path: /v1/models, port: 8000}, failureThreshold: 60}
        readinessProbe: {httpGet: {path: /v1/models, port: 8000}}`
const FUSE = '{name: w, csi: {driver: gcsfuse.csi.storage.gke.io}}'
const FUSE_ANNOTATIONS = 'gke-gcsfuse/volumes: "true", gke-gcsfuse/memory-limit: "0"'
const HEALTHY: Readonly<Record<string, string>> = {
  LABEL: 'gemma',
  REPLICAS: 'revisionHistoryLimit: 3',
  ANNOTATIONS: '',
  AFFINITY: '',
  VOLUMES: '',
  VERSION: 'v0.10.0',
  ARGUMENT: '--port=8000',
  ENV: '',
  GPUS: '1',
  PROBES,
}

const pod = (changes: Readonly<Record<string, string>> = {}): string =>
  Object.entries({ ...HEALTHY, ...changes }).reduce((text, [name, value]) => text.replace(name, value), POD)

const service = (type: string): string => `
apiVersion: v1
kind: Service
metadata: {name: gemma}
spec: {type: ${type}, ports: [{port: 80}]}`

const pool = (version: string): string => `
apiVersion: ${version}
kind: InferencePool
metadata: {name: gemma}`

const gateway = (protocol: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gemma}
spec:
  gatewayClassName: gke-l7-regional-external-managed
  listeners: [{name: one, protocol: ${protocol}, port: 443}]`

const autoscaler = (metric: string, least = 1): string => `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: gemma}
spec:
  scaleTargetRef: {kind: Deployment, name: gemma}
  minReplicas: ${least}
  metrics: [{type: Pods, pods: {metric: {name: "${metric}"}}}]`

const scaled = (cooldown: number, query = 'sum(vllm:num_requests_waiting)'): string => `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: gemma}
spec:
  scaleTargetRef: {name: gemma}
  cooldownPeriod: ${cooldown}
  triggers: [{type: prometheus, metadata: {query: "${query}"}}]`

const KEY = '{name: VLLM_API_KEY, valueFrom: {secretKeyRef: {name: keys, key: key}}}'
const WAITING = 'prometheus.googleapis.com|vllm:num_requests_waiting|gauge'

const findings = (...yaml: readonly string[]): string[] =>
  lint(yaml.flatMap((text) => loadAll(text) as Json[])).map(({ rule, field }) => `${rule} ${field}`)

const CONTAINER = 'spec.template.spec.containers[0]'

interface Example {
  readonly rule: Rule
  readonly title: string
  readonly bad: readonly string[]
  readonly field: string
  readonly good: readonly string[]
}

const LIVENESS_ONLY = `readinessProbe: {httpGet: {path: /v1/models, port: 8000}}
        livenessProbe: {httpGet: {path: /health, port: 8000}}`
const SHALLOW = PROBES.replace(
  'readinessProbe: {httpGet: {path: /v1/models',
  'readinessProbe: {httpGet: {path: /health',
)

const EXAMPLES: readonly Example[] = [
  {
    rule: 'probes',
    title: 'a liveness probe that kills what still loads',
    bad: [pod({ PROBES: LIVENESS_ONLY })],
    field: `${CONTAINER}.startupProbe`,
    good: [pod()],
  },
  {
    rule: 'model-probe',
    title: 'readiness that does not see the model',
    bad: [pod({ PROBES: SHALLOW })],
    field: `${CONTAINER}.readinessProbe.httpGet.path`,
    good: [pod()],
  },
  {
    rule: 'shell-variable',
    title: 'a variable as a shell would write it',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the defect itself
    bad: [pod({ ARGUMENT: '"--served-model-name=${NAME}"' })],
    field: `${CONTAINER}.args[1]`,
    good: [pod({ ARGUMENT: '"--served-model-name=$(NAME)"' })],
  },
  {
    rule: 'idle-accelerators',
    title: 'eight H100 for the 7B',
    bad: [pod({ GPUS: '8', ARGUMENT: '--tensor-parallel-size=8' })],
    field: `${CONTAINER}.resources.limits`,
    good: [pod({ GPUS: '2', ARGUMENT: '--tensor-parallel-size=2' })],
  },
  {
    rule: 'idle-accelerators',
    title: 'two GPUs of which one is used',
    bad: [pod({ GPUS: '2', ARGUMENT: '"--tensor-parallel-size", "1"' })],
    field: `${CONTAINER}.resources.limits`,
    good: [pod({ ARGUMENT: '"--tensor-parallel-size", "1"' })],
  },
  {
    rule: 'misplaced-field',
    title: 'containers nested under affinity',
    bad: [pod({ AFFINITY: 'affinity: {nodeAffinity: {}, containers: [{name: server}]}' })],
    field: 'spec.template.spec.affinity.containers',
    good: [pod({ AFFINITY: 'affinity: {nodeAffinity: {}}' })],
  },
  {
    rule: 'open-load-balancer',
    title: 'a public load balancer without sign-in',
    bad: [pod(), service('LoadBalancer')],
    field: 'spec.type',
    good: [pod(), service('ClusterIP')],
  },
  {
    rule: 'open-load-balancer',
    title: 'a public gateway without TLS',
    bad: [pod({ ENV: KEY }), gateway('HTTP')],
    field: 'spec.listeners[0].protocol',
    good: [pod({ ENV: KEY }), gateway('HTTPS')],
  },
  {
    rule: 'open-load-balancer',
    title: 'a public gateway in front of a server without a key',
    bad: [pod(), gateway('HTTPS')],
    field: 'spec.gatewayClassName',
    good: [pod({ ENV: KEY }), gateway('HTTPS')],
  },
  {
    rule: 'dead-api',
    title: 'the InferencePool of the old group',
    bad: [pool('inference.networking.x-k8s.io/v1alpha2')],
    field: 'apiVersion',
    good: [pool('inference.networking.k8s.io/v1')],
  },
  {
    rule: 'plain-secret',
    title: 'a token in the environment',
    bad: [pod({ ENV: '{name: HF_TOKEN, value: "a-token"}' })],
    field: `${CONTAINER}.env[0].value`,
    good: [pod({ ENV: '{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hf, key: token}}}' })],
  },
  {
    rule: 'plain-secret',
    title: 'a token as an argument',
    bad: [pod({ ARGUMENT: '"--hf-token", "a-token"' })],
    field: `${CONTAINER}.args[1]`,
    good: [pod({ ARGUMENT: '"--hf-token", "$(HF_TOKEN)"' })],
  },
  {
    rule: 'image-version',
    title: 'an image without a version',
    bad: [pod({ VERSION: 'latest' })],
    field: `${CONTAINER}.image`,
    good: [pod()],
  },
  {
    rule: 'fuse-sidecar',
    title: 'a bucket whose sidecar keeps its small memory',
    bad: [pod({ VOLUMES: FUSE, ANNOTATIONS: 'gke-gcsfuse/volumes: "true"' })],
    field: 'spec.template.metadata.annotations.gke-gcsfuse/memory-limit',
    good: [pod({ VOLUMES: FUSE, ANNOTATIONS: FUSE_ANNOTATIONS })],
  },
  {
    rule: 'scaling-metric',
    title: 'scaling by how full the GPU is',
    bad: [pod(), autoscaler('kubernetes.io|container|accelerator|duty_cycle')],
    field: 'spec.metrics[0]',
    good: [pod(), autoscaler(WAITING)],
  },
  {
    rule: 'scaling-metric',
    title: 'an autoscaler that should reach zero',
    bad: [pod(), autoscaler(WAITING, 0)],
    field: 'spec.minReplicas',
    good: [pod(), scaled(900)],
  },
  {
    rule: 'owned-replicas',
    title: 'replicas that two set',
    bad: [pod({ REPLICAS: 'replicas: 2' }), autoscaler(WAITING)],
    field: 'spec.replicas',
    good: [pod(), autoscaler(WAITING)],
  },
  {
    rule: 'short-cooldown',
    title: 'KEDA that takes away a pod while it loads',
    bad: [pod(), scaled(300)],
    field: 'spec.cooldownPeriod',
    good: [pod(), scaled(700)],
  },
  {
    rule: 'label-value',
    title: 'a model id as a label',
    bad: [pod({ LABEL: 'google/gemma-7b-it' })],
    field: 'metadata.labels.app',
    good: [pod()],
  },
]

describe('lint', () => {
  it.each(EXAMPLES)('finds $title', ({ rule, bad, field, good }) => {
    expect(findings(...bad)).toEqual([`${rule} ${field}`])
    expect(findings(...good)).toEqual([])
  })

  it('has an example of every rule', () => {
    expect(new Set(EXAMPLES.map(({ rule }) => rule))).toEqual(new Set(RULES))
  })

  it('says what is wrong and what to write, in one sentence, with the object and the field', () => {
    expect(lint(loadAll(service('LoadBalancer')) as Json[])).toEqual([
      {
        rule: 'open-load-balancer',
        object: 'Service/gemma',
        field: 'spec.type',
        says: 'Anybody on the internet can use the server, without TLS and without a key: write ClusterIP and put a Gateway in front.',
      },
    ])
  })

  it('finds a server without any probe', () => {
    expect(findings(pod({ PROBES: '' }))).toEqual([
      `probes ${CONTAINER}.readinessProbe`,
      `probes ${CONTAINER}.startupProbe`,
    ])
  })

  it.each(Object.keys(OVERLAYS))('has nothing to say about the overlay %s', (name) => {
    expect(lint(toOverlayObjects(name))).toEqual([])
  })

  it('has nothing to say about the base with KEDA down to zero', () => {
    expect(lint([...toBase(BASE), ...toScaledObject(BASE, { ...SCALING, minReplicas: 0 })])).toEqual([])
  })

  it('takes any JSON without failing', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (objects) => {
        expect(Array.isArray(lint(objects as Json[]))).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('takes objects of any broken form without failing', () => {
    const broken = fc.oneof(fc.jsonValue(), fc.constant([null, {}, { name: 1 }]))
    fc.assert(
      fc.property(fc.array(broken, { minLength: 5, maxLength: 5 }), ([spec, env, probe, limits, args]) => {
        const containers = [{ env, args, readinessProbe: probe, resources: { limits } }]
        const objects = [
          { kind: 'Deployment', spec: { template: { spec: { containers } } } },
          { kind: 'Deployment', spec: { template: { spec } } },
          { kind: 'Gateway', metadata: spec, spec: probe },
        ]
        expect(Array.isArray(lint(objects as Json[]))).toBe(true)
      }),
      { numRuns: 200 },
    )
  })
})
