/** The program of a Worker: written, bundled by wrangler without sending anything, measured and hashed. */
import { createHash } from 'node:crypto'
import { copyFile, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { FacetError } from '../../src/errors.ts'
import type { JsonObject } from '../target.ts'
import {
  BUCKET_BINDING,
  checkWorkerScript,
  FIRST_TOKEN_BOUNDS_MS,
  FIRST_TOKEN_FIELD,
  KEYS,
  MODEL_FOLDER,
  placeOfModel,
  secretName,
  type WorkerFile,
} from '../workers.ts'

/** A model directory, and where it is kept. */
export interface WorkerModel {
  readonly directory: string
  readonly files: readonly WorkerFile[]
  readonly place: 'assets' | 'bucket'
  /** Of its manifest, which has the hash of every file. */
  readonly hash: string
}

/** What a Worker is made from. */
export interface WorkerSource {
  readonly mode: 'model' | 'gateway'
  /** Of mode model. */
  readonly model?: WorkerModel
  /** Of mode gateway: the configuration, and what deployments have written beside it. */
  readonly config?: string
  readonly deployed: JsonObject
  /** Fingerprints, by the name that the program knows a secret by. */
  readonly secrets: Readonly<Record<string, string>>
  /** Of Facet: its built files are bundled, wherever the Worker's folder lies. */
  readonly root: string
}

/** Writes program and assets into an empty folder. */
export async function writeWorker(folder: string, source: WorkerSource): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const program = source.mode === 'model' ? modelProgram(source) : gatewayProgram(folder, source)
  await writeFile(join(folder, 'worker.js'), program)
  if (source.model?.place === 'assets') await linkModel(source.model, join(folder, 'assets', MODEL_FOLDER))
}

/** Complete configuration, with the aliases under which the program finds Facet. */
export async function writeConfig(folder: string, config: JsonObject, root: string): Promise<void> {
  const dist = join(root, 'dist')
  const alias = {
    'gemfacet/edge/workers': join(dist, 'edge/entry/workers.js'),
    'gemfacet/edge': join(dist, 'edge/app.js'),
    'gemfacet/gateway': join(dist, 'gateway/gateway.js'),
    'gemfacet/config': join(dist, 'config/config.js'),
    gemfacet: join(dist, 'index.js'),
  }
  await writeFile(join(folder, 'wrangler.json'), `${JSON.stringify({ ...config, alias }, null, 2)}\n`)
}

/** @param out what a dry run of wrangler has written. @throws FacetError request_too_large */
export async function measure(out: string, { model }: WorkerSource): Promise<string> {
  const hash = createHash('sha256')
  const names = (await readdir(out)).filter((name) => /\.(?:js|wasm)$/.test(name)).sort()
  let gzipBytes = 0
  for (const name of names) {
    const bytes = await readFile(join(out, name))
    gzipBytes += gzipSync(bytes).length
    hash.update(`${name}\0`).update(bytes)
  }
  checkWorkerScript(gzipBytes)
  if (model) hash.update(model.hash)
  return hash.digest('hex').slice(0, 24)
}

/** One line for each answer, by which a canary is told from the version before. */
const LOG = [
  'function log(entry) {',
  `  const upToMs = ${JSON.stringify(FIRST_TOKEN_BOUNDS_MS)}.find((bound) => entry.first_token_ms <= bound)`,
  `  console.log(JSON.stringify({ ...entry, ${FIRST_TOKEN_FIELD}: upToMs }))`,
  '}',
].join('\n')

/** Without its secret a Worker lets nobody in: an empty list of keys does. */
function modelProgram({ secrets, model }: WorkerSource): string {
  const files =
    model?.place === 'bucket'
      ? `({ ${BUCKET_BINDING} }) => filesFromBucket(${BUCKET_BINDING}, '${model.hash}')`
      : `({ ASSETS }) => filesFromAssets(ASSETS, '/${MODEL_FOLDER}')`
  return [
    imported('createWorker, filesFromAssets, filesFromBucket', 'gemfacet/edge/workers'),
    imported('toApiKeys', 'gemfacet/edge'),
    `const SECRETS = ${JSON.stringify(bindings(secrets))}`,
    LOG,
    'export default createWorker({',
    `  files: ${files},`,
    `  edge: (env) => ({ log, ...(${KEYS in secrets} && { keys: () => toApiKeys(env[SECRETS.${KEYS}] ?? '', '${KEYS}') }) }),`,
    '})',
    '',
  ].join('\n')
}

function gatewayProgram(folder: string, { secrets, config, deployed }: WorkerSource): string {
  if (config === undefined) throw new FacetError('internal', 'A gateway was to be made of no configuration.')
  const path = relative(folder, config).split('\\').join('/')
  return [
    `import config from ${JSON.stringify(path.startsWith('.') ? path : `./${path}`)}`,
    imported('createRouter', 'gemfacet/config'),
    imported('createEdge, toApiKeys', 'gemfacet/edge'),
    imported('toServed', 'gemfacet/gateway'),
    `const SECRETS = ${JSON.stringify(bindings(secrets))}`,
    `const deployed = ${JSON.stringify(deployed)}`,
    LOG,
    'let opened',
    'async function open(bound) {',
    '  const env = Object.fromEntries(Object.entries(SECRETS).map(([name, own]) => [name, bound[own]]))',
    '  const router = await createRouter(config, { env, deployed })',
    `  const keys = ${KEYS in secrets} ? { keys: () => toApiKeys(env.${KEYS} ?? '', '${KEYS}') } : {}`,
    '  return createEdge({ backends: toServed(router), log, ...keys })',
    '}',
    'export default {',
    '  async fetch(request, env) {',
    '    opened ??= open(env)',
    '    const opening = opened',
    '    try {',
    '      return await (await opening).fetch(request, env)',
    '    } catch (error) {',
    '      if (opened === opening) opened = undefined',
    '      const { message, code = "internal", status = 500 } = error',
    '      return Response.json({ error: { message, code } }, { status })',
    '    }',
    '  },',
    '}',
    '',
  ].join('\n')
}

/** A line of the program that is written, not of this one. */
function imported(names: string, from: string): string {
  return `import { ${names} } from ${JSON.stringify(from)}`
}

function bindings(secrets: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(secrets).map(([name, print]) => [name, secretName(name, print)]))
}

/** @throws FacetError io_failed, invalid_model; out_of_memory, where a Worker cannot hold it */
export async function readModel(directory: string): Promise<WorkerModel> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch((cause) => {
    throw new FacetError(
      'io_failed',
      `${directory} cannot be read; name a directory made by facet convert.`,
      { field: 'modelDirectory', cause },
    )
  })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)).split('\\').join('/'))
    .filter((path) => !path.startsWith('.'))
  if (!paths.includes('facet.json'))
    throw new FacetError('invalid_model', `${directory} holds no facet.json; make it with facet convert.`, {
      field: 'modelDirectory',
    })
  const sizes = paths.map(async (path) => ({ path, sizeBytes: (await stat(join(directory, path))).size }))
  const files = await Promise.all(sizes)
  const place = placeOfModel(directory, files)
  const manifest = await readFile(join(directory, 'facet.json'))
  const hash = createHash('sha256').update(manifest).digest('hex').slice(0, 24)
  return { directory, files, place, hash }
}

/** Into a folder of its own, so that nothing else becomes an asset. */
async function linkModel({ directory, files }: WorkerModel, into: string): Promise<void> {
  for (const { path } of files) {
    await mkdir(dirname(join(into, path)), { recursive: true })
    // Another file system takes a copy.
    await link(join(directory, path), join(into, path)).catch(() =>
      copyFile(join(directory, path), join(into, path)),
    )
  }
}
