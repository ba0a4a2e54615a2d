/** The fake API server against the recorded answers of a real one: the same requests, the same answers. */
import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:https'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../../deploy/target.ts'
import { CERTIFICATE, type FakeApi, startApi } from './api/server.ts'

interface Exchange {
  readonly note?: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly query?: Readonly<Record<string, string>>
    readonly headers: Readonly<Record<string, string>>
    readonly as: string
    readonly body?: Json
  }
  readonly response: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body?: Json
    readonly events?: readonly Json[]
  }
}

const FOLDER = new URL('../../fixtures/kubernetes/recorded/', import.meta.url)
const recorded = (name: string): readonly Exchange[] =>
  (JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as { exchanges: readonly Exchange[] })
    .exchanges

const TOKENS: Readonly<Record<string, string>> = {
  admin: 'admin',
  dev: 'dev',
  viewer: 'viewer',
  anonymous: '',
}
const configMap = (name: string, data: JsonObject): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'facet' },
  data,
})
const deployment = (name: string, replicas: number): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'facet', labels: { app: name } },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [
          {
            name: 'vllm',
            image: 'vllm/vllm-openai:v0.10.0',
            args: ['--model=google/gemma-7b-it'],
            ports: [{ containerPort: 8000, name: 'http' }],
          },
        ],
      },
    },
  },
})

let api: FakeApi

interface Answer {
  readonly status: number
  readonly warning: string | undefined
  readonly body: Json
}

function send({ method, path, query = {}, headers, as, body }: Exchange['request']): Promise<Answer> {
  const token = TOKENS[as] ?? 'nobody knows it'
  const url = new URL(path, api.url)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      {
        method,
        ca: CERTIFICATE,
        headers: {
          ...headers,
          'content-length': String(Buffer.byteLength(text)),
          'user-agent': 'curl/8.5.0',
          ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          const json = response.headers['content-type'] === 'application/json'
          const { warning } = response.headers
          resolve({
            status: response.statusCode!,
            warning: typeof warning === 'string' ? warning : undefined,
            body: json ? (JSON.parse(text) as Json) : text,
          })
        })
      },
    )
    call.on('error', reject)
    call.end(text)
  })
}

const apply = (object: JsonObject, plural: string): Promise<Answer> => {
  const { name, namespace } = object.metadata as JsonObject
  const root = String(object.apiVersion).includes('/') ? 'apis' : 'api'
  return send({
    method: 'PATCH',
    path: `/${root}/${String(object.apiVersion)}/namespaces/${String(namespace)}/${plural}/${String(name)}`,
    query: { fieldManager: 'facet' },
    headers: { 'content-type': 'application/apply-patch+yaml' },
    as: 'admin',
    body: object,
  })
}

/** Versions and uids by first appearance, times and addresses as such, lists that have no order as sets. */
function normaliser(seen: Map<string, string>): (value: Json) => Json {
  const known = (prefix: string, value: string): string => {
    const key = `${prefix}${value}`
    if (!seen.has(key)) seen.set(key, `${prefix}${seen.size}`)
    return seen.get(key)!
  }
  const text = (value: string): string =>
    value
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-4000-8000-[0-9a-f]{12}/g, (uid) => known('uid-', uid))
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'time')
      .replaceAll(/in record \(\d+\)/g, 'in record (version)')
      .replaceAll(/\b10\.0\.\d+\.\d+\b/g, 'address')
  const normalise = (value: Json, name = ''): Json => {
    if (Array.isArray(value)) {
      const items = value.map((item) => normalise(item as Json))
      return name === 'managedFields' ? items.map((item) => JSON.stringify(item)).sort() : items
    }
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(
        Object.entries(value)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, inner]) => [key, normalise(inner as Json, key)]),
      )
    if (typeof value !== 'string') return value
    return name === 'resourceVersion' ? known('version-', value) : text(value)
  }
  return (value) => normalise(value)
}

/** The fake knows administrators and people without any rights, and no roles between. */
const rights = Object.fromEntries([10, 11, 12, 13, 14].map((index) => [index, 'what a role opens']))

const namespaces =
  (...names: readonly string[]) =>
  async (): Promise<void> => {
    for (const name of names) api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
const all = (reason: string, ...indices: readonly number[]): Readonly<Record<number, string>> =>
  Object.fromEntries(indices.map((index) => [index, reason]))

/** Files that other tests read. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  admission: 'refusals alone, by policies and webhooks that the fake does not have',
  invalid: 'refusals alone, in words that are read there',
  kubectl: 'commands, whose requests kubectl-recorded.test.ts sends',
  trouble: 'refusals alone, of a server that is overloaded',
}

/** What each file needs to be there before, and the exchanges that the fake does not answer as the real server. */
const FILES: Readonly<
  Record<string, { readonly before: () => Promise<unknown>; readonly not: Readonly<Record<number, string>> }>
> = {
  apply: {
    before: async () => undefined,
    not: {
      12: 'keys of YAML 1.1 that are booleans',
      31: 'a claim moves its version once on the first repeat',
      32: 'a claim moves its version once on the first repeat',
      37: 'all events since the beginning, of a watch that its own clock ends',
    },
  },
  'apply-conflict': {
    before: async () => {
      await apply(deployment('cf', 1), 'deployments')
      await apply(deployment('rp', 3), 'deployments')
    },
    not: {},
  },
  auth: {
    before: async () => undefined,
    not: {
      6: 'nodes, a kind that the fake does not keep',
      ...rights,
    },
  },
  delete: {
    before: async () => {
      for (const name of ['df', 'bg', 'fg', 'or']) await apply(configMap(name, { a: '1' }), 'configmaps')
      await apply(deployment('del', 1), 'deployments')
      const claim = {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'del', namespace: 'facet' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      }
      await apply(claim, 'persistentvolumeclaims')
      const labels = { 'kubernetes.io/metadata.name': 'gone' }
      api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gone', labels } }, 'curl')
    },
    not: { 16: 'a whole collection' },
  },
  'create-get-list': {
    before: async () => {
      for (const [name, tier] of [
        ['b', 'x'],
        ['c', 'y'],
      ]) {
        const object = configMap(name!, { k: name! })
        const metadata = { ...(object.metadata as JsonObject), labels: { tier: tier! } }
        await send({
          method: 'POST',
          path: '/api/v1/namespaces/facet/configmaps',
          headers: { 'content-type': 'application/json' },
          as: 'admin',
          body: { ...object, metadata },
        })
      }
    },
    not: {
      8: 'which fields may be selected by',
      9: 'pages, which nobody here asks for',
      10: 'pages, which nobody here asks for',
      12: 'selectors that do not parse',
      13: 'tables',
      14: 'metadata alone',
      16: 'a version of the recording in the body',
      18: 'a uid of the recording in the body',
      20: 'names that the server makes',
      22: 'the whole object inside the message',
    },
  },
  discovery: {
    before: async () => undefined,
    not: {
      0: 'the build',
      1: 'the address that it was reached at',
      2: 'kinds that the fake does not keep',
      3: 'kinds that the fake does not keep',
      5: 'kinds that the fake does not keep',
      6: 'short names and storage hashes',
      7: 'short names and storage hashes',
      10: 'plain text against a Status',
      11: 'plain text against a Status',
    },
  },
  'status-subresource': {
    before: async () => {
      await apply(deployment('st', 1), 'deployments')
    },
    not: {
      3: 'the scale of a status',
      4: 'the scale of a status',
      5: 'a pool that was there before',
    },
  },
  immutable: {
    before: async () => {
      await apply(deployment('im', 1), 'deployments')
      const meta = { name: 'im', namespace: 'facet' }
      const spec = { selector: { app: 'im' }, ports: [{ port: 8000 }] }
      await apply({ apiVersion: 'v1', kind: 'Service', metadata: meta, spec }, 'services')
      const data = { token: Buffer.from('x').toString('base64') }
      await apply({ apiVersion: 'v1', kind: 'Secret', metadata: meta, immutable: true, data }, 'secrets')
    },
    not: {
      2: 'a difference of the whole specification in the message',
      3: 'the whole template, with labels that its controller sets, in the message',
    },
  },
  'custom-resources': {
    before: async () => undefined,
    not: {
      ...all('the words for what a schema does not take', 2, 3, 13, 19),
      4: 'a wrong type, which a create here takes',
      ...all('the object that the exchange before should not have made', 5, 6, 7),
      ...all('rules in CEL', 14, 17),
      9: 'strategic merge patches are taken for custom resources too',
    },
  },
  'client-node': {
    before: async () => undefined,
    not: {
      ...all('a body that stands in another file', 0, 2, 4),
      ...all('the types of a network policy, which are filled in', 1, 8),
      6: 'strategic merge patches are taken for custom resources too',
      15: 'a pool that was made between the exchanges',
    },
  },
  'quota-limits': {
    before: namespaces('quota', 'limits', 'secure', 'nosa'),
    not: {
      ...all('quotas and limits, kinds that the fake does not keep', 0, 3, 5),
      ...all('admission by quotas and limits', 1, 4, 6),
      ...all('what admission fills into a pod', 2, 7),
      ...all('PodSecurity, whose warnings the tests write themselves', 8, 9),
      ...all('admission of service accounts', 10, 11),
    },
  },
  'pods-events': {
    before: async () => undefined,
    not: {
      ...all('what admission fills into a pod', 0, 4, 6, 12),
      ...all('logs, which the tests write themselves', 1, 2, 3, 5),
      7: 'what is filled into an event',
      8: 'which fields may be selected by',
      9: 'the newer API of events',
      10: 'the status of a budget',
      11: 'evictions',
    },
  },
  watch: {
    before: namespaces('watched'),
    not: {
      5: 'lists as watches',
      6: 'versions that are no number',
      11: 'versions that lists no longer know',
      12: 'pages, which nobody here asks for',
      13: 'versions that are yet to come',
    },
  },
  'discovery-aggregated': {
    before: async () => undefined,
    not: all('aggregated discovery, which clients can do without', 0, 1, 2),
  },
  'dry-run': {
    before: () => apply(configMap('dr2', { a: '1' }), 'configmaps'),
    not: {},
  },
  'unknown-field': {
    before: () =>
      send({
        method: 'POST',
        path: '/api/v1/namespaces/facet/configmaps',
        headers: { 'content-type': 'application/json' },
        as: 'admin',
        body: configMap('uf', { a: '1' }),
      }),
    not: {
      8: 'a duplicate key, which JSON.parse does not tell',
      9: 'the words of Go’s YAML decoder',
      10: 'the whole object inside the message',
      11: 'the words of the strategic decoder',
    },
  },
}

it('every recorded file is replayed, or read by the test of refusals', () => {
  const names = readdirSync(FOLDER).map((name) => name.replace('.json', ''))
  expect(names.sort()).toEqual([...Object.keys(FILES), ...Object.keys(ELSEWHERE)].sort())
})

describe.each(Object.entries(FILES))('%s', (file, { before, not }) => {
  const exchanges = recorded(file)
  const seen = { theirs: new Map<string, string>(), ours: new Map<string, string>() }

  beforeAll(async () => {
    api = await startApi()
    for (const user of ['admin', 'dev', 'viewer']) api.users.set(user, user)
    api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'facet' } })
    await before()
  })
  afterAll(() => api.close())

  /** Watches have no answer that ends by itself; client.test.ts follows them. */
  const steps = exchanges.flatMap((exchange, index) => {
    const { request, response, note = '' } = exchange
    const endless = response.events !== undefined || (index in not && request.query?.watch !== undefined)
    return endless ? [] : [{ index, exchange, note }]
  })

  it.each(steps)('$index: $exchange.request.method $note', async ({ exchange, index }) => {
    const answered = await send(exchange.request)
    const { status, body = '', headers } = exchange.response
    const known = index in not
    // What is known to differ must not shift the names of what follows.
    const [theirs, ours] = [seen.theirs, seen.ours].map((map) => normaliser(known ? new Map(map) : map))
    const real = { status, warning: headers.warning, body: theirs!(body) }
    const fake = { ...answered, body: ours!(answered.body) }
    if (known) expect(fake, `${not[index]}: no longer, take it out of the table`).not.toEqual(real)
    else expect(fake).toEqual(real)
  })
})
