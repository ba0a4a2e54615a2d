/** What the real kubectl asked a real API server, command after command: the fake answers each request with the same status. */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { JsonObject } from '../../../deploy/target.ts'
import { ADMIN_TOKEN, CERTIFICATE, type FakeApi, startApi } from './api/server.ts'

interface Command {
  readonly command: string
  readonly note?: string
  readonly stdin?: string
  /** Such as `PATCH /path?query <type> accept types -> 200, size 378`. */
  readonly requests: readonly string[]
}

const { commands } = JSON.parse(
  readFileSync(new URL('../../fixtures/kubernetes/recorded/kubectl.json', import.meta.url), 'utf8'),
) as { readonly commands: readonly Command[] }

/** What of the requests cannot be sent again, or is not asked of the fake. */
const NOT: readonly (readonly [why: string, pattern: RegExp])[] = [
  ['the build', /^GET \/version/],
  [
    'discovery and documents, which the real kubectl is tested with',
    /^GET \/(?:openapi|apis?\?|apis?\/[\w.]+\/v1 )/,
  ],
  ['kinds that the fake does not keep', /customresourcedefinitions|selfsubjectaccessreviews/],
  ['protobuf', /accept application\/vnd\.kubernetes\.protobuf/],
  ['a watch', /watch=true/],
  ['bodies that were not recorded', /^(?:POST|PATCH)(?!.*apply-patch)/],
  ['pods, which nothing starts here', /\/pods\//],
  ['a resource version of the recording', /resourceVersion=/],
]
/** Of commands: who asked, or what was answered, was not the usual. */
const NOT_COMMANDS =
  /NOT the real answer|no token|forbidden|CEL violation|the second is refused|--validate=false/

interface Sent {
  readonly method: string
  readonly path: string
  readonly type: string | undefined
  readonly status: number
  readonly stdin: string | undefined
}

const sent: readonly Sent[] = commands
  .filter(({ command, note = '' }) => !NOT_COMMANDS.test(`${command} ${note}`))
  .flatMap(({ stdin, requests }) =>
    requests
      .filter((line) => !NOT.some(([, pattern]) => pattern.test(line)))
      .map((line): Sent => {
        const [, method, path, type, status] = /^(\w+) (\S+)(?: <([^>]+)>)? accept .* -> (\d+),/.exec(line)!
        return { method: method!, path: path!, type, status: Number(status), stdin }
      }),
  )

const metadata = (name: string): JsonObject => ({ name, namespace: 'facet' })
const configMap = (name: string): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: metadata(name),
  data: { x: '1' },
})
const deployment = (name: string): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: metadata(name),
  spec: { replicas: 1, selector: { matchLabels: { app: name } }, template: { spec: { containers: [] } } },
})
/** Made in the recording by requests whose bodies it does not hold: there once it was found. */
const MADE = new Map<string, JsonObject>([
  ['/api/v1/namespaces/facet/configmaps/kc2', configMap('kc2')],
  ['/apis/apps/v1/namespaces/facet/deployments/kc', deployment('kc')],
  ['/apis/apps/v1/namespaces/facet/deployments/kd', deployment('kd')],
])

let api: FakeApi
beforeAll(async () => {
  api = await startApi()
  api.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'facet' } })
  api.put(configMap('ap2'), 'somebody')
})
afterAll(() => api.close())

function send({ method, path, type, stdin }: Sent): Promise<number> {
  const body = type?.includes('apply-patch') ? (stdin ?? '') : method === 'DELETE' ? '{}' : ''
  const headers = {
    authorization: `Bearer ${ADMIN_TOKEN}`,
    accept: 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...(type !== undefined && { 'content-type': type }),
  }
  return new Promise((resolve, reject) => {
    const call = request(new URL(path, api.url), { method, ca: CERTIFICATE, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode!))
    })
    call.on('error', reject).end(body)
  })
}

it('in the order in which they were made', async () => {
  expect(sent.length).toBeGreaterThan(15)
  const answered: string[] = []
  for (const one of sent) {
    const made = one.status === 200 && MADE.get(one.path)
    if (made && MADE.delete(one.path)) api.put(made)
    answered.push(`${one.method} ${one.path} ${await send(one)}`)
  }
  expect(answered).toEqual(sent.map(({ method, path, status }) => `${method} ${path} ${status}`))
})
