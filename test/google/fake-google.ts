/** Google's sign-in servers and metadata server, played on loopback; they check what they are sent. */
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface Asked {
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  /** The form's fields. */
  readonly form: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status?: number
  readonly json?: unknown
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface FakeGoogle extends AsyncDisposable {
  readonly url: string
  readonly asked: Asked[]
}

/** Every request gets what `answer` says, or hangs where that is nothing. */
export async function fakeGoogle(
  answer: (asked: Asked, count: number) => Answer | undefined | Promise<Answer | undefined>,
): Promise<FakeGoogle> {
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const { url: path = '', headers } = request
    const one = { path, headers, body, form: Object.fromEntries(new URLSearchParams(body)) }
    asked.push(one)
    const given = await answer(one, asked.length)
    if (!given) return
    response.writeHead(given.status ?? 200, { 'content-type': 'application/json', ...given.headers })
    response.end(given.text ?? JSON.stringify(given.json))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export const granted = (token: string, seconds = 3600): Answer => ({
  json: { access_token: token, expires_in: seconds, token_type: 'Bearer' },
})

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const PEM: string = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
export const PKCS1: string = privateKey.export({ type: 'pkcs1', format: 'pem' }) as string

export const serviceAccount = (url: string, own: object = {}): object => ({
  type: 'service_account',
  project_id: 'facet-test',
  private_key_id: 'key-1',
  private_key: PEM,
  client_email: 'caller@facet-test.iam.gserviceaccount.com',
  token_uri: `${url}/token`,
  ...own,
})

export const user = (url: string, own: object = {}): object => ({
  type: 'authorized_user',
  client_id: 'client-id.apps.googleusercontent.com',
  client_secret: 'client-secret-value',
  refresh_token: 'refresh-token-value',
  token_uri: `${url}/token`,
  ...own,
})

export const external = (url: string, source: object | undefined, own: object = {}): object => ({
  type: 'external_account',
  audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/github',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: `${url}/sts`,
  ...(source && { credential_source: source }),
  ...own,
})

/** The claims of an assertion whose signature holds. */
export function verified(assertion: string): Record<string, unknown> & { header: Record<string, unknown> } {
  const [header = '', claims = '', signature = ''] = assertion.split('.')
  const key = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }))
  if (!verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'))) {
    throw new Error('the signature does not hold')
  }
  const read = (part: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(part, 'base64url').toString())
  return { ...read(claims), header: read(header) }
}
