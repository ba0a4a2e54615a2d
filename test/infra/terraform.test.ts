/** infra/: it parses, refers to nothing that is not there, and gives nobody more than they need. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from '@cdktn/hcl2json'
import { beforeAll, describe, expect, it } from 'vitest'
import { NAMESPACE } from '../../deploy/k8s/kustomize.ts'
import { GATEWAY, OVERLAYS } from '../../deploy/k8s/presets.ts'

const ROOT = fileURLToPath(new URL('../../infra/', import.meta.url))
const FILES = globSync('*.tf', { cwd: ROOT })

type Body = Readonly<Record<string, unknown>>
/** type -> name -> blocks */
type Blocks = Readonly<Record<string, Readonly<Record<string, readonly Body[]>>>>

interface Module {
  readonly variable: Readonly<Record<string, readonly Body[]>>
  readonly output: Readonly<Record<string, readonly Body[]>>
  readonly locals: readonly Body[]
  readonly resource: Blocks
  readonly data: Blocks
  readonly terraform: readonly Body[]
  readonly provider: Readonly<Record<string, readonly Body[]>>
}

/** Roles that are known to be as small as the work allows; more are added here, with thought. */
const ROLES = [
  'roles/aiplatform.user',
  'roles/artifactregistry.reader',
  'roles/artifactregistry.writer',
  'roles/cloudbuild.builds.editor',
  'roles/container.defaultNodeServiceAccount',
  'roles/container.developer',
  'roles/iam.serviceAccountTokenCreator',
  'roles/iam.serviceAccountUser',
  'roles/logging.viewer',
  'roles/monitoring.editor',
  'roles/monitoring.viewer',
  'roles/run.developer',
  'roles/storage.objectUser',
  'roles/storage.objectViewer',
]

/** Services without which these kinds of resources cannot be made. */
const SERVICES: Readonly<Record<string, string>> = {
  google_artifact_registry: 'artifactregistry.googleapis.com',
  google_compute: 'compute.googleapis.com',
  google_container: 'container.googleapis.com',
  google_service_account: 'iam.googleapis.com',
  google_storage: 'storage.googleapis.com',
}

let module: Module
let text: string

beforeAll(async () => {
  const parsed = await Promise.all(
    FILES.map(async (file) => (await parse(file, readFileSync(join(ROOT, file), 'utf8'))) as Body),
  )
  module = parsed.reduce<Body>((all, one) => merged(all, one), {}) as unknown as Module
  text = JSON.stringify(module)
})

/** Blocks of one kind from several files. */
function merged(a: Body, b: Body): Body {
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return Object.fromEntries(
    [...names].map((name) => {
      const [x, y] = [a[name], b[name]]
      if (Array.isArray(x) && Array.isArray(y)) return [name, [...x, ...y]]
      return [name, typeof x === 'object' && typeof y === 'object' ? merged(x as Body, y as Body) : (x ?? y)]
    }),
  )
}

const resources = (): { type: string; name: string; body: Body }[] =>
  Object.entries(module.resource).flatMap(([type, named]) =>
    Object.entries(named).map(([name, [body]]) => ({ type, name, body: body! })),
  )

/** Everything that stands inside ${…}. */
const expressions = (): string =>
  [...text.matchAll(/\$\{((?:[^{}]|\{[^{}]*\})*)\}/g)].map(([, one]) => one).join('\n')

describe('infra/', () => {
  it('is what an HCL parser reads, and a broken file is not', async () => {
    expect(FILES.length).toBeGreaterThan(5)
    await expect(parse('broken.tf', 'resource "a" "b" {')).rejects.toThrow()
  })

  it('refers only to variables, locals, resources and data that are there', () => {
    const found = expressions()
    const variables = [...found.matchAll(/\bvar\.(\w+)/g)].map(([, name]) => name)
    const locals = [...found.matchAll(/\blocal\.(\w+)/g)].map(([, name]) => name)
    expect(new Set(variables)).toEqual(new Set(Object.keys(module.variable)))
    expect(new Set(locals)).toEqual(new Set(module.locals.flatMap((one) => Object.keys(one))))
    const data = [...found.matchAll(/\bdata\.(\w+)\.(\w+)/g)].map(([, type, name]) => `${type}.${name}`)
    for (const one of data) expect(module.data[one.split('.')[0]!]).toHaveProperty(one.split('.')[1]!)
    const others = [...found.matchAll(/(?<![.\w])(google_\w+)\.(\w+)/g)]
    expect(others.length).toBeGreaterThan(20)
    for (const [whole, type, name] of others)
      expect(module.resource[type!] ?? {}, whole).toHaveProperty(name!)
  })

  it('uses every resource kind of a provider that is named, from a registry, in a bounded version', () => {
    const required = (module.terraform[0]!.required_providers as Body[])[0]! as Readonly<
      Record<string, { readonly source: string; readonly version: string }>
    >
    const used = [...resources().map(({ type }) => type), ...Object.keys(module.data)].map(
      (type) => type.split('_')[0]!,
    )
    expect(new Set(used)).toEqual(new Set(Object.keys(required)))
    expect(new Set(Object.keys(module.provider))).toEqual(new Set(Object.keys(required)))
    for (const { source, version } of Object.values(required)) {
      expect(source).toMatch(/^hashicorp\//)
      expect(version).toMatch(/^~> \d+\.\d+/)
    }
  })

  it('turns on the service of everything that it makes', () => {
    const { services } = module.locals.find((one) => 'services' in one)!
    for (const { type } of resources()) {
      const service = Object.entries(SERVICES).find(([prefix]) => type.startsWith(prefix))?.[1]
      if (service) expect(String(services), type).toContain(service)
    }
  })

  it('gives only roles that are known to be small, and to nobody in general', () => {
    const given = [...new Set([...text.matchAll(/roles\/[\w.]+/g)].map(([role]) => role))]
    expect(given.toSorted()).toEqual(ROLES.toSorted())
    expect(given.filter((role) => /owner|(?<!builds\.|monitoring\.)editor|admin/i.test(role))).toEqual([])
    expect(text).not.toMatch(/allUsers|allAuthenticatedUsers/)
    const custom = module.resource.google_project_iam_custom_role!.caller![0]!
    expect(custom.permissions).toEqual(['aiplatform.endpoints.predict'])
  })

  it('adds members to policies, and never replaces what others have granted', () => {
    for (const { type } of resources()) expect(type).not.toMatch(/_iam_(policy|binding)$/)
  })

  it('makes no key, and no bucket that the public reads', () => {
    expect(module.resource).not.toHaveProperty('google_service_account_key')
    const [bucket] = module.resource.google_storage_bucket!.weights!
    expect(bucket).toMatchObject({ public_access_prevention: 'enforced', uniform_bucket_level_access: true })
  })

  it('describes every variable and every output, and types every variable', () => {
    for (const [block] of Object.values(module.variable))
      expect(block).toEqual(
        expect.objectContaining({ description: expect.any(String), type: expect.any(String) }),
      )
    for (const [block] of Object.values(module.output))
      expect(block).toEqual(expect.objectContaining({ description: expect.any(String) }))
  })

  it('fits k8s/: the namespace, the pods’ account, and the range of the gateway’s proxies', () => {
    expect(module.variable.namespace![0]!.default).toBe(NAMESPACE)
    const account = module.variable.service_account![0]!.default
    for (const { name } of Object.values(OVERLAYS)) expect(name).toBe(account)
    const [proxies] = module.resource.google_compute_subnetwork!.proxies!
    expect(proxies!.ip_cidr_range).toBe(GATEWAY.proxyRange)
  })
})
