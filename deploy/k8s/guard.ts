/** The cost guard inside the cluster: a CronJob that counts what a deployment spends, and takes it down when it is enough. */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Act, GuardJob, Limits, Rates } from '../guard-job.ts'
import { type JsonObject, OWNER_LABEL } from '../target.ts'
import { toApiAccess } from './access.ts'
import { type KubeObject, selectorLabels, toObject } from './object.ts'
import { CONTAINER_SECURITY } from './pod.ts'
import type { Serving } from './serving.ts'

export interface GuardOptions {
  readonly limits: Limits
  readonly rates: Rates
  readonly then: 'scale-down' | 'remove'
  /** Of deployments that are guarded together with this one: its canary. */
  readonly canary: { readonly name: string; readonly owner: string }
  /** There is an autoscaler of KEDA, which would bring the pods back. */
  readonly keda: boolean
}

/** Runs the guard's program without being built. */
const IMAGE = 'docker.io/library/node:24.11.1-alpine3.22'
const EVERY_FIVE_MINUTES = '*/5 * * * *'
/** Of an alpine image's `node`. */
const USER = 1000
const PROGRAM = 'guard.mts'
const CA_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'
const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token'

/** Name of the ConfigMap in which the guard keeps what has been spent. */
export const toLedgerName = (name: string): string => `${name}-spent`

/**
 * No machine of anybody's has to run for it. Its account may look at the pods of the namespace, and of
 * everything else only touch what it takes down, by name.
 */
export function toGuard(serving: Serving, options: GuardOptions): KubeObject[] {
  const named = { name: `${serving.name}-guard`, component: 'guard' }
  const ledger = { name: toLedgerName(serving.name), component: 'guard' }
  const namespace = serving.namespace ?? 'default'
  const acts = toActs(serving.name, namespace, options)
  return [
    ...toApiAccess(
      serving,
      named,
      toRules(
        acts.map(({ ref }) => ref),
        ledger.name,
      ),
    ),
    toObject('v1', 'ConfigMap', serving, { data: { [PROGRAM]: program() } }, named),
    // Written by the guard alone; its age is the deployment's, by the cluster's own clock.
    toObject('v1', 'ConfigMap', serving, {}, ledger),
    toCronJob(serving, {
      name: serving.name,
      namespace,
      pods: `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(toSelector([serving.name, options.canary.name]))}`,
      ownerLabel: OWNER_LABEL,
      owners: [serving.owner ?? serving.name, options.canary.owner],
      ledger: `/api/v1/namespaces/${namespace}/configmaps/${ledger.name}`,
      limits: options.limits,
      rates: options.rates,
      acts: acts.map(({ act }) => act),
      tokenFile: TOKEN_FILE,
    }),
  ]
}

interface Ref {
  readonly group: string
  readonly plural: string
  readonly name: string
  readonly does: Act['does']
}

function toActs(
  name: string,
  namespace: string,
  { then, canary, keda }: GuardOptions,
): { readonly ref: Ref; readonly act: Act }[] {
  const does = then === 'remove' ? 'delete' : 'scale'
  const servers = [name, canary.name]
  const refs: Ref[] = [
    // First: it would bring back what is scaled to zero.
    ...(keda
      ? servers.map((one): Ref => ({ group: 'keda.sh', plural: 'scaledobjects', name: one, does: 'delete' }))
      : []),
    ...servers.map((one): Ref => ({ group: 'apps', plural: 'deployments', name: one, does })),
    ...(then === 'remove'
      ? [
          ...servers.map(
            (one): Ref => ({ group: 'apps', plural: 'deployments', name: `${one}-picker`, does }),
          ),
          { group: 'gateway.networking.k8s.io', plural: 'gateways', name, does } as const,
        ]
      : []),
  ]
  const versions: Readonly<Record<string, string>> = { 'keda.sh': 'v1alpha1' }
  return refs.map((ref) => {
    const version = versions[ref.group] ?? 'v1'
    const path = `/apis/${ref.group}/${version}/namespaces/${namespace}/${ref.plural}/${ref.name}`
    return { ref, act: { path, does: ref.does } }
  })
}

function toRules(refs: readonly Ref[], ledger: string): JsonObject[] {
  return [
    { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
    { apiGroups: [''], resources: ['events'], verbs: ['create'] },
    { apiGroups: [''], resources: ['configmaps'], resourceNames: [ledger], verbs: ['get', 'patch'] },
    ...refs.flatMap(({ group, plural, name, does }): JsonObject[] => {
      const of = (resource: string, ...verbs: string[]): JsonObject => ({
        apiGroups: [group],
        resources: [resource],
        resourceNames: [name],
        verbs,
      })
      return does === 'delete'
        ? [of(plural, 'get', 'delete')]
        : [of(plural, 'get'), of(`${plural}/scale`, 'patch')]
    }),
  ]
}

/** Of the servers of these deployments. */
export function toSelector(names: readonly string[]): string {
  const { 'app.kubernetes.io/component': component } = selectorLabels({ name: '' })
  return `app.kubernetes.io/name in (${names.join()}),app.kubernetes.io/component=${component}`
}

function toCronJob(serving: Serving, job: GuardJob): KubeObject {
  const { name } = serving
  const container: JsonObject = {
    name: 'guard',
    image: IMAGE,
    command: ['node', `/guard/${PROGRAM}`],
    env: [
      { name: 'GUARD', value: JSON.stringify(job) },
      { name: 'NODE_EXTRA_CA_CERTS', value: CA_FILE },
    ],
    resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    securityContext: CONTAINER_SECURITY,
    volumeMounts: [{ name: 'program', mountPath: '/guard', readOnly: true }],
  }
  // Without the owner's label: what the CronJob makes is its own, and goes with it.
  const metadata = { labels: { ...selectorLabels({ name }, 'guard') } }
  return toObject(
    'batch/v1',
    'CronJob',
    serving,
    {
      spec: {
        schedule: EVERY_FIVE_MINUTES,
        concurrencyPolicy: 'Forbid',
        startingDeadlineSeconds: 240,
        successfulJobsHistoryLimit: 1,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata,
          spec: {
            backoffLimit: 2,
            activeDeadlineSeconds: 180,
            template: {
              metadata,
              spec: {
                restartPolicy: 'Never',
                serviceAccountName: `${name}-guard`,
                // It asks the API server.
                automountServiceAccountToken: true,
                enableServiceLinks: false,
                securityContext: {
                  runAsNonRoot: true,
                  runAsUser: USER,
                  runAsGroup: USER,
                  seccompProfile: { type: 'RuntimeDefault' },
                },
                containers: [container],
                volumes: [{ name: 'program', configMap: { name: `${name}-guard` } }],
              },
            },
          },
        },
      },
    },
    { name: `${name}-guard`, component: 'guard' },
  )
}

/** The module beside this one, as it is here: TypeScript that Node.js strips, or what was built of it. */
function program(): string {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  return readFileSync(fileURLToPath(new URL(`../guard-job${extension}`, import.meta.url)), 'utf8')
}
