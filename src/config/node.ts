/** `gemfacet/config/node`: loads facet.config.ts, with errors that point at the line, and what deployments wrote. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigProblem, type Path, toField } from '../check.ts'
import { type Engine, loadEngine } from '../engine/node.ts'
import { FacetError } from '../errors.ts'
import { applicationDefault } from '../google/node.ts'
import type { Router } from '../route/router.ts'
import { withTunedAdapters, withTunedNames } from '../tune/home/names.ts'
import { readTuned, type TunedModels } from '../tune/home/tuned.ts'
import type { Backend, Endpoint } from '../types.ts'
import { type BackendContext, createBackends, createRouter } from './backends.ts'
import type { FacetConfig } from './config.ts'
import { readEndpoints } from './deployed.ts'
import { locate } from './locate.ts'
import { checkConfig } from './schema.ts'

export { type DeployedEndpoints, readEndpoints, removeEndpoint, writeEndpoint } from './deployed.ts'

export interface LoadedConfig {
  readonly file: string
  readonly config: FacetConfig
  /** What deployments have written into `.facet/endpoints.json` beside it. */
  readonly deployed: Readonly<Record<string, Endpoint>>
  /** The router it describes. @throws FacetError that points at the line */
  router(context?: Partial<BackendContext>): Promise<Router>
  /** One endpoint of it, or one that was deployed, alone. @throws FacetError that points at the line */
  backend(name: string, context?: Partial<BackendContext>): Promise<Backend>
  /** Ends the engines that the router has loaded. */
  close(): Promise<void>
}

export const CONFIG_FILE = 'facet.config.ts'

/**
 * @param path of the file, or of the folder it lies in
 * @throws FacetError io_failed, invalid_request, with file, line and field
 */
export async function loadConfig(path: string = CONFIG_FILE): Promise<LoadedConfig> {
  const file = await fileAt(resolve(path))
  const source = await readFile(file, 'utf8')
  const deployed = await readEndpoints(dirname(file))
  const value = await imported(file)
  const engines: Engine[] = []
  try {
    const config = withTuned(checkConfig(value, Object.keys(deployed)), await readTuned(dirname(file)))
    const placed = async <T>(make: Promise<T>): Promise<T> => {
      try {
        return await make
      } catch (error) {
        if (!(error instanceof FacetError) || error.field === undefined) throw error
        throw at(file, source, toPath(error.field), error)
      }
    }
    return {
      file,
      config,
      deployed,
      router: (own) => placed(createRouter(config, { ...contextOf(file, engines), deployed, ...own })),
      async backend(name, own) {
        const context = { ...contextOf(file, engines), deployed, ...own }
        const [backend] = await placed(createBackends({ ...config, router: { order: [name] } }, context))
        return backend!
      },
      async close() {
        await Promise.all(engines.splice(0).map((engine) => engine.close()))
      },
    }
  } catch (error) {
    if (!(error instanceof ConfigProblem)) throw error
    throw at(file, source, error.path, new FacetError('invalid_request', error.message))
  }
}

/** What was tuned, where the file names it. @throws ConfigProblem */
function withTuned(config: FacetConfig, tuned: TunedModels): FacetConfig {
  const { endpoints, deployments } = config
  return {
    ...config,
    ...(endpoints && {
      endpoints: mapValues(endpoints, (name, one) =>
        one.type === 'local' ? withTunedNames(name, one, tuned) : one,
      ),
    }),
    ...(deployments && {
      deployments: mapValues(deployments, (name, one) => withTunedAdapters(name, one, tuned)),
    }),
  }
}

function mapValues<Value>(
  all: Readonly<Record<string, Value>>,
  change: (name: string, value: Value) => Value,
): Record<string, Value> {
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, change(name, value)]))
}

function contextOf(file: string, engines: Engine[]): BackendContext {
  return {
    env: process.env,
    google: (audience) => applicationDefault(audience === undefined ? {} : { audience }),
    readFile: (path) => readFile(path, 'utf8'),
    async gemini({ project, location, model, timeouts, apiEndpoint }, own) {
      const { createGemini } = await import('../vertex/gemini.ts')
      const optional = { ...(timeouts && { timeouts }), ...(apiEndpoint !== undefined && { apiEndpoint }) }
      return createGemini({ project, location, model, ...own, ...optional })
    },
    async kubernetes(context) {
      const { clusterFetch } = await import('../../deploy/k8s/fetch.ts')
      return clusterFetch(context)
    },
    async local({ directory, model, engine: graph, threads, slots, adapters = {} }) {
      const { pullAdapters } = await import('../pull/adapters.ts')
      const from = dirname(file)
      const named = Object.entries(adapters).map(([name, location]) => ({ name, location }))
      const engine = await loadEngine(resolve(from, directory), {
        ...(model !== undefined && { id: model }),
        adapters: await pullAdapters(named, { from, onNote: (sentence) => process.emitWarning(sentence) }),
        ...(graph && { graph }),
        ...(threads !== undefined && { threads }),
        ...(slots !== undefined && { slots }),
      })
      engines.push(engine)
      return engine
    },
  }
}

async function fileAt(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory()) return fileAt(join(path, CONFIG_FILE))
  if (found?.isFile()) return path
  throw new FacetError('io_failed', `There is no ${path}; write one with defineConfig of gemfacet/config.`)
}

async function imported(file: string): Promise<unknown> {
  const { mtimeMs } = await stat(file)
  let exported: { readonly default?: unknown }
  try {
    // A file that has changed is another module.
    exported = await import(`${pathToFileURL(file).href}?${mtimeMs}`)
  } catch (cause) {
    throw new FacetError(
      'invalid_request',
      `${file}${lineIn(cause, file)}: It cannot be loaded: ${firstLine(cause)}`,
      {
        cause,
      },
    )
  }
  if (exported.default !== undefined) return exported.default
  throw new FacetError(
    'invalid_request',
    `${file} has no default export; begin it with export default defineConfig({.`,
  )
}

/** Node says the line of a mistake in the first lines of the stack. */
function lineIn(error: unknown, file: string): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const after = stack.split(file)[1] ?? ''
  return /^(?:\?[\d.]+)?(:\d+(?::\d+)?)/.exec(after)?.[1] ?? ''
}

function firstLine(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).trim()
  const line = text.split('\n').findLast((one) => one.trim() !== '') ?? 'it failed'
  return `${line.trim().replace(/\.$/, '')}.`
}

function at(file: string, source: string, path: Path, error: FacetError): FacetError {
  const place = locate(source, path)
  const where = place ? `${file}:${place.line}:${place.column}` : file
  const field = toField(path)
  return new FacetError(error.code, `${where}: ${error.message}`, {
    ...(field && { field }),
    ...(error.cause !== undefined && { cause: error.cause }),
  })
}

function toPath(field: string): Path {
  return field.split('.')
}
