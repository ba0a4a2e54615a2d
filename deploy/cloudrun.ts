/** What Cloud Run is sent: one service that scales to zero, with the model mounted from a bucket. */
import type { CpuPlan } from './edge-plan.ts'
import type { CloudRunSpec } from './spec.ts'
import { type JsonObject, OWNER_LABEL, type Resource } from './target.ts'

type CloudRunPlan = CpuPlan & { readonly spec: CloudRunSpec }

const PORT = 8080
const MODEL_PATH = '/model'
/** Cloud Run's longest. */
const TIMEOUT_SECONDS = 3600
/** While the model loads, /readyz says 503: 24 tries of 10 s. */
const STARTUP = { periodSeconds: 10, failureThreshold: 24, timeoutSeconds: 5 }

/** In the words of run v2. */
export function wantCloudRun(plan: CloudRunPlan): Resource[] {
  const { name, spec } = plan
  const parent = `projects/${spec.project}/locations/${spec.region}`
  const service = `${parent}/services/facet-${name}`
  const resources: Resource[] = [
    {
      id: service,
      kind: 'Cloud Run service',
      name: `facet-${name}`,
      billable: true,
      body: {
        parent,
        serviceId: `facet-${name}`,
        service: {
          labels: { [OWNER_LABEL]: name },
          ingress: 'INGRESS_TRAFFIC_ALL',
          template: template(plan),
          traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
        },
      },
    },
  ]
  if (!spec.public) return resources
  // Whoever calls needs a key then, which the handler checks.
  const policy: Resource = {
    id: `${service}/policy`,
    kind: 'Cloud Run policy',
    name: `facet-${name}`,
    after: [service],
    body: {
      resource: service,
      policy: { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] },
    },
  }
  return [...resources, policy]
}

/** The image that `up` builds from deploy/Dockerfile, where the spec names none. */
export function imageOf({ name, spec }: CloudRunPlan): string {
  return spec.image ?? `${spec.region}-docker.pkg.dev/${spec.project}/facet/${name}:latest`
}

function template(plan: CloudRunPlan): JsonObject {
  const { spec, instance, slots, contextTokens } = plan
  const [bucket, ...folder] = spec.modelDirectory
    .replace(/^gs:\/\//, '')
    .replace(/\/+$/, '')
    .split('/')
  const directory = [MODEL_PATH, ...folder].join('/')
  return {
    scaling: { minInstanceCount: instance.min, maxInstanceCount: instance.max! },
    // Running and waiting: what is above is sent to another instance.
    maxInstanceRequestConcurrency: slots! * 4,
    timeout: { seconds: TIMEOUT_SECONDS },
    executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2',
    containers: [
      {
        image: imageOf(plan),
        args: ['serve', directory, '--slots', String(slots), '--context', String(contextTokens)],
        ports: [{ name: 'http1', containerPort: PORT }],
        env: [
          { name: 'FACET_HOST', value: '0.0.0.0' },
          { name: 'FACET_LOG', value: 'json' },
          ...(spec.keysEnv === undefined ? [] : [keysSecret(plan)]),
        ],
        resources: {
          limits: { cpu: String(instance.vcpus), memory: `${instance.memoryBytes / 1024 ** 3}Gi` },
          cpuIdle: true,
          startupCpuBoost: true,
        },
        volumeMounts: [{ name: 'model', mountPath: MODEL_PATH }],
        startupProbe: { httpGet: { path: '/readyz', port: PORT }, ...STARTUP },
        livenessProbe: { httpGet: { path: '/healthz', port: PORT }, periodSeconds: 30, timeoutSeconds: 5 },
      },
    ],
    volumes: [{ name: 'model', gcs: { bucket: bucket!, readOnly: true } }],
  }
}

/** Keys come from Secret Manager, where `up` puts them: never from the plan. */
function keysSecret({ name }: CloudRunPlan): JsonObject {
  return {
    name: 'FACET_API_KEYS',
    valueSource: { secretKeyRef: { secret: `facet-${name}-keys`, version: 'latest' } },
  }
}
