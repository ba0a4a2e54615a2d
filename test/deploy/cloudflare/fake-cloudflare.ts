/** Cloudflare's API on loopback, as far as wrangler and Facet ask it; what is deployed really runs, in workerd. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Loopback } from '../loopback.ts'
import { answerQuery } from './fake-telemetry.ts'
import { type Behaviour, FakeWorker, type Metadata, type Modules } from './fake-worker.ts'
import { CloudflareRefusal } from './refusal.ts'

interface Asked {
  readonly url: URL
  readonly body: Buffer
  readonly type: string
}

type Route = readonly [method: string, path: RegExp, answer: (name: string, asked: Asked) => unknown]

const absent = (): CloudflareRefusal =>
  new CloudflareRefusal(404, 'This Worker does not exist on your account.')

export class FakeCloudflare {
  readonly workers: Map<string, FakeWorker> = new Map()
  /** Of R2: objects by their keys. */
  readonly buckets: Map<string, Map<string, Buffer>> = new Map()
  readonly asked: string[] = []
  token = 'token-1'
  readonly behaviour: Behaviour = { fails: () => false, program: undefined }
  /** Is told of every request before it is answered: throws a refusal, or holds it up. */
  before: (request: string) => void | Promise<void> = () => {}
  readonly #server: Loopback = new Loopback((request, response) => this.#answer(request, response))
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'facet-cloudflare-'))
  /** Hash of a file, and its path among the assets. */
  readonly #expected = new Map<string, string>()
  readonly #routes: readonly Route[] = this.#table()

  get url(): string {
    return `${this.#server.url}/client/v4`
  }

  open(): Promise<void> {
    return this.#server.open()
  }

  async close(): Promise<void> {
    for (const worker of this.workers.values()) await worker.close()
    await this.#server.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** What a browser would find at `https://NAME.me.workers.dev`. */
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init)
    const url = new URL(request.url)
    const worker = this.workers.get(url.hostname.split('.')[0]!)
    if (!worker?.subdomain) return new Response('There is nothing here yet', { status: 404 })
    return worker.fetch(request, this.buckets, this.behaviour)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.url)
    const path = url.pathname.replace('/client/v4/accounts/acc', '')
    const line = `${request.method} ${path}`
    const body = await buffer(request)
    this.asked.push(line)
    const send = (status: number, result: unknown, errors: readonly object[], headers = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify({ success: status < 400, result, errors, messages: [] }))
    }
    try {
      const token = request.headers.authorization?.replace('Bearer ', '')
      if (token !== this.token && token !== 'upload') throw new CloudflareRefusal(401, 'Authentication error')
      await this.before(line)
      const asked = { url, body, type: request.headers['content-type'] ?? '' }
      const route = this.#routes.find(([method, where]) => method === request.method && where.test(path))
      if (!route) throw new CloudflareRefusal(404, `Nothing answers ${line}.`)
      send(200, await route[2](decodeURIComponent(route[1].exec(path)![1] ?? ''), asked), [])
    } catch (error) {
      if (!(error instanceof CloudflareRefusal)) throw error
      const code = error.status === 404 ? 10007 : 10000
      send(error.status, null, [{ code, message: error.message }], error.headers)
    }
  }

  #table(): readonly Route[] {
    const script = (rest: string): RegExp => new RegExp(`^/workers/scripts/([\\w-]+)${rest}$`)
    const find = (name: string): FakeWorker => {
      const found = this.workers.get(name)
      if (!found) throw absent()
      return found
    }
    const secretsOf = (name: string): object[] =>
      [...(this.workers.get(name)?.latest?.secrets.keys() ?? [])].map((one) => ({
        name: one,
        type: 'secret_text',
      }))
    return [
      ...this.#r2(),
      [
        'GET',
        /^\/workers\/services\/([\w-]+)$/,
        (name) => ({ default_environment: { script: { ...find(name), tags: [] } } }),
      ],
      [
        'GET',
        /^\/workers\/services\/([\w-]+)\/environments\/production$/,
        (name) => ({ script: { tags: [], name: find(name).latest!.metadata.main_module } }),
      ],
      [
        'GET',
        /^\/workers\/workers\/([\w-]+)$/,
        (name) => ({ id: name, name, subdomain: { enabled: find(name).subdomain, previews_enabled: false } }),
      ],
      [
        'PATCH',
        /^\/workers\/workers\/([\w-]+)$/,
        (name, { body }) => {
          find(name).subdomain = JSON.parse(body.toString()).subdomain.enabled
          return { id: name, name, subdomain: { enabled: find(name).subdomain, previews_enabled: false } }
        },
      ],
      ['GET', /^\/workers\/subdomain$/, () => ({ subdomain: 'me' })],
      ['GET', /^\/workers\/domains$/, () => []],
      [
        'GET',
        script('/deployments'),
        (name) => ({
          deployments: find(name).deployments,
        }),
      ],
      [
        'GET',
        /^\/workers\/scripts\/([\w-]+\/versions\/[\w-]+)$/,
        (path) => {
          const [name, , id] = path.split('/')
          return this.#version(find(name!), id!)
        },
      ],
      ['GET', script('/secrets'), secretsOf],
      ['GET', script('/settings'), (name) => this.#settings(find(name))],
      ['GET', script('/subdomain'), (name) => ({ enabled: find(name).subdomain, previews_enabled: false })],
      [
        'POST',
        script('/subdomain'),
        (name, { body }) => {
          find(name).subdomain = JSON.parse(body.toString()).enabled
          return { enabled: find(name).subdomain, previews_enabled: false }
        },
      ],
      [
        'PUT',
        script('/secrets'),
        (name, { body }) => {
          const { name: own, text } = JSON.parse(body.toString())
          find(name).setSecret(own, text)
          return { name: own }
        },
      ],
      [
        'DELETE',
        /^\/workers\/scripts\/([\w-]+\/secrets\/\w+)$/,
        (path) => {
          const [name, , own] = path.split('/')
          find(name!).setSecret(own!, undefined)
        },
      ],
      ['POST', script('/assets-upload-session'), (_, { body }) => this.#session(JSON.parse(body.toString()))],
      ['POST', /^\/workers\/assets\/upload$/, (_, asked) => this.#upload(asked)],
      ['PUT', script(''), (name, asked) => this.#create(name, asked)],
      ['POST', script('/versions'), (name, asked) => this.#uploadVersion(find(name), asked)],
      [
        'POST',
        script('/deployments'),
        (name, { body }) => {
          const { versions, annotations } = JSON.parse(body.toString())
          return find(name).deploy(versions, annotations)
        },
      ],
      [
        'PATCH',
        script('/script-settings'),
        (name, { body }) => this.#patch(find(name), JSON.parse(body.toString())),
      ],
      ['GET', script('/script-settings'), (name) => this.#settings(find(name))],
      [
        'DELETE',
        script(''),
        async (name) => {
          await find(name).close()
          this.workers.delete(name)
        },
      ],
      [
        'POST',
        /^\/workers\/observability\/telemetry\/query$/,
        (_, { body }) => {
          const logged = [...this.workers.values()].flatMap((worker) => worker.logged)
          return answerQuery(logged, JSON.parse(body.toString()))
        },
      ],
    ]
  }

  #r2(): readonly Route[] {
    const bucketOf = (name: string): Map<string, Buffer> => {
      const found = this.buckets.get(name)
      if (!found) throw new CloudflareRefusal(404, 'The specified bucket does not exist.')
      return found
    }
    const object = /^\/r2\/buckets\/([\w-]+\/objects\/.+)$/
    const keyOf = (path: string): readonly [Map<string, Buffer>, string] => {
      const [name, , ...key] = path.split('/')
      return [bucketOf(name!), key.join('/')]
    }
    return [
      [
        'POST',
        /^\/r2\/buckets$/,
        (_, { body }) => {
          const { name } = JSON.parse(body.toString())
          if (this.buckets.has(name))
            throw new CloudflareRefusal(409, 'The bucket you tried to create already exists.')
          this.buckets.set(name, new Map())
          return { name }
        },
      ],
      ['GET', /^\/r2\/buckets\/([\w-]+)$/, (name) => bucketOf(name) && { name }],
      [
        'GET',
        /^\/r2\/buckets\/([\w-]+)\/objects$/,
        (name) => [...bucketOf(name)].map(([key, bytes]) => ({ key, size: bytes.length })),
      ],
      [
        'DELETE',
        /^\/r2\/buckets\/([\w-]+)$/,
        (name) => {
          if (bucketOf(name).size > 0)
            throw new CloudflareRefusal(409, 'The bucket you tried to delete is not empty.')
          this.buckets.delete(name)
        },
      ],
      [
        'PUT',
        object,
        (path, { body }) => {
          const [bucket, key] = keyOf(path)
          bucket.set(key, body)
        },
      ],
      [
        'DELETE',
        object,
        (path) => {
          const [bucket, key] = keyOf(path)
          bucket.delete(key)
        },
      ],
    ]
  }

  /** Those of the latest version, and what is no version's. */
  #settings({ latest, observability }: FakeWorker): object {
    const { compatibility_date, limits } = latest!.metadata
    return { compatibility_date, bindings: bindingsOf(latest!), limits, observability }
  }

  #version(worker: FakeWorker, id: string): object {
    const version = worker.version(id)
    const { compatibility_date, limits } = version.metadata
    const resources = { bindings: bindingsOf(version), script_runtime: { compatibility_date, limits } }
    return { id, number: version.number, metadata: {}, resources }
  }

  #patch(worker: FakeWorker, settings: { readonly observability?: object }): object {
    worker.observability = settings.observability ?? worker.observability
    return this.#settings(worker)
  }

  #session({ manifest }: { readonly manifest: Readonly<Record<string, { readonly hash: string }>> }): object {
    for (const [path, { hash }] of Object.entries(manifest)) this.#expected.set(hash, path)
    return { jwt: 'upload', buckets: [Object.values(manifest).map(({ hash }) => hash)] }
  }

  async #upload(asked: Asked): Promise<object> {
    for (const [hash, file] of await formOf(asked)) {
      const to = join(this.#folder, this.#expected.get(hash)!)
      mkdirSync(dirname(to), { recursive: true })
      writeFileSync(to, Buffer.from(await textOf(file), 'base64'))
    }
    return { jwt: 'upload' }
  }

  async #create(name: string, asked: Asked): Promise<object> {
    const worker = this.workers.get(name) ?? new FakeWorker(name, this.#folder)
    const { id } = await this.#uploadVersion(worker, asked)
    worker.deploy([{ version_id: id, percentage: 100 }])
    worker.observability = worker.latest!.metadata.observability ?? {}
    this.workers.set(name, worker)
    return {
      id: name,
      available_on_subdomain: worker.subdomain,
      startup_time_ms: 1,
      metadata: {},
      resources: { script: {}, script_runtime: {} },
    }
  }

  async #uploadVersion(worker: FakeWorker, asked: Asked): Promise<{ readonly id: string }> {
    const form = await formOf(asked)
    const metadata = JSON.parse(await textOf(form.get('metadata')!)) as Metadata
    const files: [string, { type: string; bytes: Buffer }][] = []
    for (const [file, value] of form)
      if (typeof value !== 'string')
        files.push([file, { type: value.type, bytes: Buffer.from(await value.arrayBuffer()) }])
    const modules: Modules = new Map(files)
    const { id, number } = worker.upload(metadata, modules)
    const resources = { script: {}, script_runtime: {} }
    return { id, number, startup_time_ms: 1, metadata: {}, resources } as { readonly id: string }
  }
}

function bindingsOf({ metadata, secrets }: NonNullable<FakeWorker['latest']>): object[] {
  const hidden = [...secrets.keys()].map((name) => ({ type: 'secret_text', name }))
  return [...metadata.bindings, ...hidden]
}

function formOf({ body, type }: Asked): Promise<FormData> {
  return new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
}

async function textOf(value: string | File): Promise<string> {
  return typeof value === 'string' ? value : value.text()
}
