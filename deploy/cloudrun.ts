/** What Cloud Run is sent: one service that scales to zero, with the model mounted from a bucket or in its image, and its build. */
import { lastOf, type RunNames, runNames } from './cloudrun/names.ts'
import type { CpuPlan } from './edge-plan.ts'
import type { CloudRunSpec } from './spec.ts'
import { type JsonObject, OWNER_LABEL, type Resource } from './target.ts'

export type CloudRunPlan = CpuPlan & { readonly spec: CloudRunSpec }

/** What only this machine knows, as hashes of it. */
export interface CloudRunContent {
  /** Of the build context; the image's tag. */
  readonly source?: string
  /** Fingerprint of the keys. */
  readonly keys?: string
}

/** In a plan, where nothing was looked at. */
const PLANNED = 'planned'
const PORT = 8080
const MODEL_PATH = '/model'
/** Cloud Run's longest. */
const TIMEOUT_SECONDS = 3600
/** While the model loads, /readyz says 503: 24 tries of 10 s. */
const STARTUP = { periodSeconds: 10, failureThreshold: 24, timeoutSeconds: 5 }
/** An interrupted `down` should not leave an upload behind for ever. */
const SOURCE_DAYS = 7

export const FINGERPRINT = 'gemfacet-fingerprint'
/** Of a template whose image holds its model: the directory that it was copied from. */
export const MODEL_ANNOTATION = 'gemfacet-model'

/** In the words of Google's APIs. */
export function wantCloudRun(plan: CloudRunPlan, content: CloudRunContent = {}): Resource[] {
  const { spec } = plan
  const names = runNames(plan)
  const account = accountOf(names, names.account, 'Serves the model.')
  const reader = (address: string): Resource =>
    modelGrant(names.modelBucket, address, [`projects/${names.project}/serviceAccounts/${address}`])
  const isBaked = spec.modelIn === 'image'
  const mounted = isBaked ? [] : [reader(names.account)]
  const secrets = spec.keysEnv === undefined ? [] : keys(names, content, account.id)
  const baked = isBaked ? [reader(names.builder)] : []
  const built = spec.image === undefined ? build(names, content, baked) : []
  const before = [account, ...mounted, ...secrets, ...built]
  const service = serviceOf(plan, names, content, before)
  // Whoever calls needs a key then, which the handler checks.
  const open = spec.public
    ? [grant(`//run.googleapis.com/${names.service}`, 'roles/run.invoker', 'allUsers', [service.id])]
    : []
  return [...before, service, ...open]
}

/** The image that `up` builds from deploy/Dockerfile, where the spec names none. */
export function imageOf(plan: CloudRunPlan, { source = PLANNED }: CloudRunContent = {}): string {
  return plan.spec.image ?? `${runNames(plan).image}:${source}`
}

function accountOf({ project, owner }: RunNames, email: string, does: string): Resource {
  const accountId = email.split('@')[0]!
  return {
    id: `projects/${project}/serviceAccounts/${email}`,
    kind: 'Service account',
    name: accountId,
    // Service accounts have no labels.
    body: { accountId, serviceAccount: { displayName: does, description: `${OWNER_LABEL}=${owner}` } },
  }
}

/** @param on full name of the resource; @param member an account's address, or allUsers */
export function grant(on: string, role: string, member: string, after: readonly string[]): Resource {
  return {
    id: `${on}/${role}/${member}`,
    kind: 'Role',
    name: `${role} on ${lastOf(on)}`,
    after,
    body: { on, role, member: member === 'allUsers' ? member : `serviceAccount:${member}` },
  }
}

/** Lets an account read the model. */
export function modelGrant(bucket: string, address: string, after: readonly string[]): Resource {
  return grant(`//storage.googleapis.com/${bucket}`, 'roles/storage.objectViewer', address, after)
}

/** Keys come from the environment to Secret Manager: never from the plan. */
function keys(names: RunNames, content: CloudRunContent, account: string): Resource[] {
  const secret: Resource = {
    id: names.secret,
    kind: 'Secret',
    name: lastOf(names.secret),
    billable: true,
    body: {
      secretId: lastOf(names.secret),
      secret: {
        replication: { automatic: {} },
        labels: { [OWNER_LABEL]: names.owner },
        annotations: { [FINGERPRINT]: content.keys ?? PLANNED },
      },
    },
  }
  const on = `//secretmanager.googleapis.com/${names.secret}`
  const access = grant(on, 'roles/secretmanager.secretAccessor', names.account, [secret.id, account])
  return [secret, access]
}

/**
 * Bucket, registry and image, and the account that builds, which reaches nothing else.
 *
 * @param more grants that the build needs
 */
function build(
  names: RunNames,
  { source = PLANNED }: CloudRunContent,
  more: readonly Resource[],
): Resource[] {
  const labels = { [OWNER_LABEL]: names.owner }
  const builder = accountOf(names, names.builder, 'Builds the image.')
  const bucket: Resource = {
    id: `gs://${names.bucket}`,
    kind: 'Bucket',
    name: names.bucket,
    billable: true,
    body: {
      name: names.bucket,
      location: names.region.toUpperCase(),
      labels,
      iamConfiguration: {
        uniformBucketLevelAccess: { enabled: true },
        publicAccessPrevention: 'enforced',
      },
      lifecycle: { rule: [{ action: { type: 'Delete' }, condition: { age: SOURCE_DAYS } }] },
      // What is deleted would go on costing money for a week.
      softDeletePolicy: { retentionDurationSeconds: '0' },
    },
  }
  const repository: Resource = {
    id: names.repository,
    kind: 'Artifact Registry repository',
    name: lastOf(names.repository),
    billable: true,
    body: { format: 'DOCKER', labels },
  }
  const grants = [
    // Reads the source and writes the log: Cloud Build asks for this role on a bucket of one's own.
    grant(`//storage.googleapis.com/${names.bucket}`, 'roles/storage.admin', names.builder, [
      bucket.id,
      builder.id,
    ]),
    grant(
      `//artifactregistry.googleapis.com/${names.repository}`,
      'roles/artifactregistry.writer',
      names.builder,
      [repository.id, builder.id],
    ),
    ...more,
  ]
  const image: Resource = {
    id: `${names.image}:${source}`,
    kind: 'Image',
    name: `facet:${source}`,
    billable: true,
    after: [bucket.id, repository.id, ...grants.map(({ id }) => id)],
    body: { image: `${names.image}:${source}` },
  }
  return [builder, bucket, repository, ...grants, image]
}

function serviceOf(
  plan: CloudRunPlan,
  names: RunNames,
  content: CloudRunContent,
  before: readonly Resource[],
): Resource {
  const serviceId = lastOf(names.service)
  return {
    id: names.service,
    kind: 'Cloud Run service',
    name: serviceId,
    billable: true,
    after: before.map(({ id }) => id),
    body: {
      parent: names.location,
      serviceId,
      service: {
        labels: { [OWNER_LABEL]: names.owner },
        ingress: 'INGRESS_TRAFFIC_ALL',
        template: template(plan, names, content),
        traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
      },
    },
  }
}

function template(plan: CloudRunPlan, names: RunNames, content: CloudRunContent): JsonObject {
  const { spec, instance, slots, contextTokens } = plan
  const isBaked = spec.modelIn === 'image'
  const directory = isBaked || names.modelFolder === '' ? MODEL_PATH : `${MODEL_PATH}/${names.modelFolder}`
  const annotations = {
    // Other keys are another revision, which reads them.
    ...(spec.keysEnv !== undefined && { [FINGERPRINT]: content.keys ?? PLANNED }),
    ...(isBaked && { [MODEL_ANNOTATION]: spec.modelDirectory }),
  }
  return {
    labels: { [OWNER_LABEL]: names.owner },
    ...(Object.keys(annotations).length > 0 && { annotations }),
    serviceAccount: names.account,
    scaling: { minInstanceCount: instance.min, maxInstanceCount: instance.max! },
    // Running and waiting: what is above is sent to another instance.
    maxInstanceRequestConcurrency: slots! * 4,
    timeout: { seconds: TIMEOUT_SECONDS },
    executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2',
    containers: [
      {
        image: imageOf(plan, content),
        args: ['serve', directory, '--slots', String(slots), '--context', String(contextTokens)],
        ports: [{ name: 'http1', containerPort: PORT }],
        env: [
          { name: 'FACET_HOST', value: '0.0.0.0' },
          { name: 'FACET_LOG', value: 'json' },
          ...(spec.keysEnv === undefined ? [] : [keysSecret(names)]),
        ],
        resources: {
          limits: { cpu: String(instance.vcpus), memory: `${instance.memoryBytes / 1024 ** 3}Gi` },
          cpuIdle: true,
          startupCpuBoost: true,
        },
        ...(isBaked ? {} : { volumeMounts: [{ name: 'model', mountPath: MODEL_PATH }] }),
        startupProbe: { httpGet: { path: '/readyz', port: PORT }, ...STARTUP },
        livenessProbe: { httpGet: { path: '/healthz', port: PORT }, periodSeconds: 30, timeoutSeconds: 5 },
      },
    ],
    ...(isBaked ? {} : { volumes: [{ name: 'model', gcs: { bucket: names.modelBucket, readOnly: true } }] }),
  }
}

function keysSecret({ secret }: RunNames): JsonObject {
  return {
    name: 'FACET_API_KEYS',
    valueSource: { secretKeyRef: { secret: lastOf(secret), version: 'latest' } },
  }
}
