/** `.facet/endpoints.json`: where a deployment writes its Endpoint, and the router finds it. */
import { join } from 'node:path'
import { isObject } from '../client/wire.ts'
import { FacetError } from '../errors.ts'
import { readKept, writeKept } from '../kept-json.ts'
import type { Endpoint } from '../types.ts'

/** By name. Keys are not written down: the configuration names their variables. */
export type DeployedEndpoints = Readonly<Record<string, Omit<Endpoint, 'apiKey'>>>

const FILE = '.facet/endpoints.json'

/** @throws FacetError invalid_request where the file is not what writeEndpoint wrote */
export async function readEndpoints(folder: string): Promise<DeployedEndpoints> {
  const file = join(folder, FILE)
  const kept = await readKept(file)
  if (!kept) return {}
  const { json } = kept
  const entries = isObject(json) ? Object.entries(json) : []
  if (!isObject(json) || !entries.every(([, endpoint]) => isEndpoint(endpoint))) {
    throw new FacetError('invalid_request', `${file} is damaged; delete it and deploy again.`)
  }
  return json as DeployedEndpoints
}

/** Adds or replaces one; the file is written beside and renamed. */
export async function writeEndpoint(folder: string, name: string, endpoint: Endpoint): Promise<void> {
  const { apiKey: _, ...written } = endpoint
  await save(folder, { ...(await readEndpoints(folder)), [name]: written })
}

export async function removeEndpoint(folder: string, name: string): Promise<void> {
  const { [name]: _, ...rest } = await readEndpoints(folder)
  await save(folder, rest)
}

async function save(folder: string, endpoints: DeployedEndpoints): Promise<void> {
  await writeKept(join(folder, FILE), endpoints)
}

function isEndpoint(value: unknown): boolean {
  if (!isObject(value) || typeof value.baseURL !== 'string' || !URL.canParse(value.baseURL)) return false
  if (value.signIn !== undefined && value.signIn !== 'google-id-token') return false
  return [value.model, value.server, value.kubeContext, value.keysEnv].every(
    (one) => one === undefined || typeof one === 'string',
  )
}
