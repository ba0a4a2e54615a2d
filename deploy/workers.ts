/** What Cloudflare is sent: the configuration that wrangler deploys, and the secrets it holds beside it. */
import { FacetError } from '../src/errors.ts'
import type { CpuPlan } from './edge-plan.ts'
import type { WorkersSpec } from './spec.ts'
import type { JsonObject, Resource } from './target.ts'

export type WorkersPlan = CpuPlan & { readonly spec: WorkersSpec }

/** What only this machine knows, as hashes of it. */
export interface WorkersContent {
  /** Of the bundle and of the model. */
  readonly hash?: string
  /** Fingerprints of secrets, by the name that the program knows them by. */
  readonly secrets?: Readonly<Record<string, string>>
  /** Hash of a model that is too large for assets, and lies in a bucket of R2. */
  readonly bucket?: string
}

/** As deploy/workers/wrangler.jsonc has it. */
const COMPATIBILITY_DATE = '2026-10-01'
/** A cold start and a long answer take seconds of processor time. */
const CPU_MS = 120_000
/** In a plan, where nothing was looked at. */
const PLANNED = 'planned'

/** Variables of the Worker that say whose it is and what it was made from: Workers have no labels. */
export const OWNER_VARIABLE = 'GEMFACET_DEPLOYMENT'
export const CONTENT_VARIABLE = 'GEMFACET_CONTENT'
/** Keys that callers show. */
export const KEYS = 'FACET_API_KEYS'
/** Under which the program finds the bucket. */
export const BUCKET_BINDING = 'MODEL'
/** Of the line that a Worker logs for each answer: the bucket of its first token, in milliseconds. */
export const FIRST_TOKEN_FIELD = 'first_token_up_to_ms'
/** Rising; no answer is waited for longer than the last. */
export const FIRST_TOKEN_BOUNDS_MS: readonly number[] = [
  50, 100, 175, 250, 375, 500, 750, 1_000, 1_500, 2_500, 3_500, 5_000, 7_500, 10_000, 30_000, 60_000, 600_000,
]
/** Where the model lies among the assets. */
export const MODEL_FOLDER = 'model'

export const WORKER_KIND = 'Worker'
export const SECRET_KIND = 'Worker secret'
export const BUCKET_KIND = 'R2 bucket'
export const FILES_KIND = 'Model in R2'

export function bucketName(deployment: string): string {
  return `facet-${deployment}-model`
}

/** @param hash of the model */
export function filesId(deployment: string, hash: string): string {
  return `r2/${bucketName(deployment)}/${hash}`
}

/** @returns a bucket with the model where it needs one, wrangler's configuration, then a resource for each secret */
export function wantWorkers(plan: WorkersPlan, content: WorkersContent = {}): Resource[] {
  const { name, spec } = plan
  const worker = `workers/facet-${name}`
  const named = content.secrets ?? (spec.keysEnv === undefined ? {} : { [KEYS]: PLANNED })
  const secrets = Object.entries(named).map(
    ([variable, print]): Resource => ({
      id: `${worker}/secrets/${secretName(variable, print)}`,
      kind: SECRET_KIND,
      name: secretName(variable, print),
      after: [worker],
      body: { name: secretName(variable, print) },
    }),
  )
  const config = wranglerConfig(plan, content)
  const model = content.bucket === undefined ? [] : bucketWith(name, content.bucket)
  const after = model.length > 0 && { after: model.map(({ id }) => id) }
  return [
    ...model,
    { id: worker, kind: WORKER_KIND, name: `facet-${name}`, billable: true, ...after, body: config },
    ...secrets,
  ]
}

export function workerIn(want: readonly Resource[]): Resource {
  return want.find(({ kind }) => kind === WORKER_KIND)!
}

function bucketWith(deployment: string, hash: string): Resource[] {
  const name = bucketName(deployment)
  const bucket: Resource = {
    id: `r2/${name}`,
    kind: BUCKET_KIND,
    name,
    billable: true,
    body: { name, marked: true },
  }
  const files: Resource = {
    id: filesId(deployment, hash),
    kind: FILES_KIND,
    name: `${name}/${hash}`,
    billable: true,
    after: [bucket.id],
    body: { bucket: name, folder: hash, complete: true },
  }
  return [bucket, files]
}

/** Another value is another secret: whether the one that is there is the one that is wanted shows in its name. */
export function secretName(variable: string, print: string): string {
  return `${variable}_${print}`
}

/** `wrangler.json` of the Worker. */
function wranglerConfig({ name, spec }: WorkersPlan, { hash = PLANNED, bucket }: WorkersContent): JsonObject {
  return {
    name: `facet-${name}`,
    main: 'worker.js',
    compatibility_date: COMPATIBILITY_DATE,
    // They would tell where on this machine things lie.
    upload_source_maps: false,
    vars: { [OWNER_VARIABLE]: name, [CONTENT_VARIABLE]: hash },
    // Else every file of the model could be fetched by name.
    ...(spec.mode === 'model' &&
      bucket === undefined && {
        assets: { directory: './assets', binding: 'ASSETS', run_worker_first: true },
      }),
    ...(bucket !== undefined && {
      r2_buckets: [{ binding: BUCKET_BINDING, bucket_name: bucketName(name) }],
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
/** Of script and modules, compressed, on the paid plan. */
const SCRIPT_BYTES = 10 * MEBIBYTE

/** A file of a model directory. */
export interface WorkerFile {
  /** In the directory. */
  readonly path: string
  readonly sizeBytes: number
}

/**
 * Where the model is kept: assets hold files up to 25 MiB, a bucket every other.
 *
 * @throws FacetError out_of_memory, where a Worker cannot hold it
 */
export function placeOfModel(directory: string, files: readonly WorkerFile[]): 'assets' | 'bucket' {
  const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (total > MODEL_BYTES)
    throw new FacetError(
      'out_of_memory',
      `${directory} takes ${megabytes(total)}, and of the 128 MB that a Worker has in all a model may take ${megabytes(MODEL_BYTES)}; serve it elsewhere and let the Worker be a gateway to it (mode gateway).`,
      { field: 'modelDirectory' },
    )
  return files.some(({ sizeBytes }) => sizeBytes > FILE_BYTES) ? 'bucket' : 'assets'
}

/** @param gzipBytes of everything that wrangler uploads as the script. @throws FacetError request_too_large */
export function checkWorkerScript(gzipBytes: number): void {
  if (gzipBytes <= SCRIPT_BYTES) return
  throw new FacetError(
    'request_too_large',
    `The Worker's script takes ${megabytes(gzipBytes)} compressed, and Cloudflare takes 10 MiB; import less in facet.config.ts.`,
  )
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
