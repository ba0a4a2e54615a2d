/** Rules about objects together: what reaches the pods, what scales them, and which APIs are no longer there. */
import type { JsonObject } from '../target.ts'
import { at, isObject, listOf } from './json.ts'
import type { Complaint, Pod } from './lint.ts'

type SetRule = (objects: readonly JsonObject[], pods: readonly Pod[]) => Complaint[]

const AUTOSCALERS = ['HorizontalPodAutoscaler', 'ScaledObject']
/** vLLM fills the memory at its start, so these say nothing about load. */
const MEMORY_METRIC = /duty_cycle|memory|DCGM_FI|gpu_cache_usage|kv_cache_usage|gpu_utili[sz]ation/i
const LABEL_VALUE = /^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/

const kindOf = (object: JsonObject): string => String(object.kind)
const each = (
  objects: readonly JsonObject[],
  kinds: readonly string[],
  rule: (object: JsonObject) => readonly Complaint[],
): Complaint[] => objects.filter((object) => kinds.includes(kindOf(object))).flatMap(rule)

/** A public address for a server that asks nobody for a key. */
const openLoadBalancer: SetRule = (objects, pods) => [
  ...each(objects, ['Service'], (object) => {
    const annotations = at(object, 'metadata', 'annotations')
    const internal =
      isObject(annotations) &&
      (annotations['networking.gke.io/load-balancer-type'] ??
        annotations['cloud.google.com/load-balancer-type']) === 'Internal'
    return at(object, 'spec', 'type') !== 'LoadBalancer' || internal
      ? []
      : [
          {
            rule: 'open-load-balancer',
            object,
            field: 'spec.type',
            says: 'Anybody on the internet can use the server, without TLS and without a key: write ClusterIP and put a Gateway in front.',
          },
        ]
  }),
  ...each(objects, ['Gateway'], (object) => {
    const name = at(object, 'spec', 'gatewayClassName')
    if (typeof name !== 'string' || !name.includes('external')) return []
    const plain = listOf(at(object, 'spec', 'listeners')).findIndex(({ protocol }) => protocol === 'HTTP')
    const open = pods.filter(isServer).some((pod) => !hasKey(pod))
    const complaint = (field: string, says: string): Complaint => ({
      rule: 'open-load-balancer',
      object,
      field,
      says,
    })
    return [
      ...(plain < 0
        ? []
        : [
            complaint(
              `spec.listeners[${plain}].protocol`,
              'Prompts would cross the internet in plain text: write HTTPS.',
            ),
          ]),
      ...(open
        ? [
            complaint(
              'spec.gatewayClassName',
              'The server behind this public gateway asks for no key: set VLLM_API_KEY from a Secret.',
            ),
          ]
        : []),
    ]
  }),
]

const deadApi: SetRule = (objects) =>
  objects.flatMap((object) => {
    const version = String(object.apiVersion)
    const says =
      version.startsWith('inference.networking.x-k8s.io/') && kindOf(object) !== 'InferenceObjective'
        ? `${version} ${kindOf(object)} is gone: write an InferencePool of inference.networking.k8s.io/v1, and delete the old ones, for beside them a gateway answers 503.`
        : undefined
    return says === undefined ? [] : [{ rule: 'dead-api', object, field: 'apiVersion', says }]
  })

const scalingMetric: SetRule = (objects) => [
  ...each(objects, ['HorizontalPodAutoscaler'], (object) => {
    const metrics = listOf(at(object, 'spec', 'metrics'))
    return [
      ...metrics.flatMap((metric, index) => {
        const name = ['pods', 'external', 'object']
          .map((type) => at(metric, type, 'metric', 'name'))
          .find((one) => typeof one === 'string')
        const resource = at(metric, 'resource', 'name')
        const memory = typeof name === 'string' ? MEMORY_METRIC.test(name) : resource === 'memory'
        return memory ? [toMetricComplaint(object, `spec.metrics[${index}]`, String(name ?? resource))] : []
      }),
      ...(at(object, 'spec', 'minReplicas') === 0
        ? [
            {
              rule: 'scaling-metric',
              object,
              field: 'spec.minReplicas',
              says: 'A HorizontalPodAutoscaler cannot scale to zero: write 1, or a ScaledObject of KEDA.',
            } as const,
          ]
        : []),
    ]
  }),
  ...each(objects, ['ScaledObject'], (object) =>
    listOf(at(object, 'spec', 'triggers')).flatMap((trigger, index) => {
      const query = at(trigger, 'metadata', 'query')
      return typeof query === 'string' && MEMORY_METRIC.test(query)
        ? [toMetricComplaint(object, `spec.triggers[${index}].metadata.query`, query)]
        : []
    }),
  ),
]

function toMetricComplaint(object: JsonObject, field: string, name: string): Complaint {
  const says = `${name} is as high with one request as with a hundred: scale by the requests that wait.`
  return { rule: 'scaling-metric', object, field, says }
}

/** Two that set the same number take it from each other at every apply. */
const ownedReplicas: SetRule = (objects) =>
  each(objects, ['Deployment', 'StatefulSet'], (object) => {
    const scaled = targetsOf(objects, object)[0]
    return scaled === undefined || at(object, 'spec', 'replicas') === undefined
      ? []
      : [
          {
            rule: 'owned-replicas',
            object,
            field: 'spec.replicas',
            says: `The ${kindOf(scaled)} sets replicas, and every apply would take them back: leave them out.`,
          },
        ]
  })

/** KEDA's default is 300 seconds. */
const shortCooldown: SetRule = (objects, pods) =>
  each(objects, ['ScaledObject'], (object) => {
    const cooldown = Number(at(object, 'spec', 'cooldownPeriod') ?? 300)
    const pod = pods.find(({ object: owner }) => targetsOf([object], owner).length > 0)
    const load = Math.max(0, ...(pod?.containers ?? []).map(({ body }) => startupSeconds(body.startupProbe)))
    return cooldown > load
      ? []
      : [
          {
            rule: 'short-cooldown',
            object,
            field: 'spec.cooldownPeriod',
            says: `The pod may load for ${load} seconds and is taken away after ${cooldown} without requests: write more than ${load}.`,
          },
        ]
  })

const labelValue: SetRule = (objects) =>
  objects.flatMap((object) => {
    const labels = at(object, 'metadata', 'labels')
    const bad = Object.entries(isObject(labels) ? labels : {}).filter(
      ([, value]) => typeof value !== 'string' || !LABEL_VALUE.test(value),
    )
    return bad.map(([name, value]) => ({
      rule: 'label-value' as const,
      object,
      field: `metadata.labels.${name}`,
      says: `${JSON.stringify(value)} cannot be a label's value: write letters, digits, hyphens and dots, or make it an annotation.`,
    }))
  })

export const SET_RULES: readonly SetRule[] = [
  openLoadBalancer,
  deadApi,
  scalingMetric,
  ownedReplicas,
  shortCooldown,
  labelValue,
]

const isServer = ({ containers }: Pod): boolean => containers.some(({ accelerators }) => accelerators > 0)

function hasKey({ containers }: Pod): boolean {
  return containers.some(
    ({ body, words }) =>
      listOf(body.env).some(({ name }) => name === 'VLLM_API_KEY') ||
      words.some(({ text }) => text.startsWith('--api-key')),
  )
}

function targetsOf(objects: readonly JsonObject[], target: JsonObject): JsonObject[] {
  return objects.filter(
    (object) =>
      AUTOSCALERS.includes(kindOf(object)) &&
      (at(object, 'spec', 'scaleTargetRef', 'kind') ?? 'Deployment') === kindOf(target) &&
      at(object, 'spec', 'scaleTargetRef', 'name') === at(target, 'metadata', 'name'),
  )
}

function startupSeconds(probe: JsonObject[string] | undefined): number {
  if (!isObject(probe)) return 0
  const number = (name: string, fallback: number): number => Number(probe[name] ?? fallback)
  return number('initialDelaySeconds', 0) + number('periodSeconds', 10) * number('failureThreshold', 3)
}
