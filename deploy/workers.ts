/** What Cloudflare is sent: the configuration that wrangler deploys, and the secrets it holds beside it. */
import { FacetError } from '../src/errors.ts'
import type { CpuPlan } from './edge-plan.ts'
import type { WorkersSpec } from './spec.ts'
import type { JsonObject, Resource } from './target.ts'

type WorkersPlan = CpuPlan & { readonly spec: WorkersSpec }

/** As deploy/workers/wrangler.jsonc has it. */
const COMPATIBILITY_DATE = '2026-10-01'
/** A cold start and a long answer take seconds of processor time. */
const CPU_MS = 120_000

export function wantWorkers(plan: WorkersPlan): Resource[] {
  const { name, spec } = plan
  const worker = `workers/facet-${name}`
  const resources: Resource[] = [
    { id: worker, kind: 'Worker', name: `facet-${name}`, billable: true, body: wranglerConfig(plan) },
  ]
  if (spec.keysEnv === undefined) return resources
  // Only that it is there: its value is read from the environment when it is sent.
  const secret: Resource = {
    id: `${worker}/secrets/FACET_API_KEYS`,
    kind: 'Worker secret',
    name: 'FACET_API_KEYS',
    after: [worker],
    body: { name: 'FACET_API_KEYS', fromEnv: spec.keysEnv },
  }
  return [...resources, secret]
}

/** `wrangler.json` of the Worker. */
function wranglerConfig({ name, spec }: WorkersPlan): JsonObject {
  return {
    name: `facet-${name}`,
    main: 'worker.js',
    compatibility_date: COMPATIBILITY_DATE,
    ...(spec.mode === 'model' && {
      assets: { directory: './models', binding: 'ASSETS', run_worker_first: true },
    }),
    limits: { cpu_ms: CPU_MS },
    ...(spec.domain !== undefined && { routes: [{ pattern: spec.domain, custom_domain: true }] }),
    workers_dev: spec.domain === undefined,
    observability: { enabled: true },
  }
}

const MEBIBYTE = 1024 ** 2
/** Of one asset. */
const FILE_BYTES = 25 * MEBIBYTE
/** JavaScript and WebAssembly together; half of it is for requests, caches and code. */
const MODEL_BYTES = 64e6

/** @throws FacetError out_of_memory, with the file or the sum at fault */
export function checkWorkerModel(
  directory: string,
  files: readonly { path: string; sizeBytes: number }[],
): void {
  const large = files.find(({ sizeBytes }) => sizeBytes > FILE_BYTES)
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  const refuse = (problem: string): never => {
    throw new FacetError(
      'out_of_memory',
      `${directory} ${problem}; serve it elsewhere and let the Worker be a gateway to it (mode gateway).`,
      { field: 'modelDirectory' },
    )
  }
  if (large) refuse(`holds ${large.path} of ${megabytes(large.sizeBytes)}, and an asset may have 25 MiB`)
  if (total > MODEL_BYTES) refuse(`takes ${megabytes(total)} of the 128 MB that a Worker has in all`)
}
