/** Bad credentials: one sentence, the field, and never a secret. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { googleTokens } from '../../src/google/google.ts'
import { type Answer, external, fakeGoogle, PEM, PKCS1, serviceAccount, user } from './fake-google.ts'

const HOST = 'http://127.0.0.1:1'

/** Everything of an error that somebody might print. */
function shown(error: unknown): string {
  const parts: string[] = []
  for (let link = error; link instanceof Error; link = link.cause) {
    parts.push(link.message, link.stack ?? '', JSON.stringify(link), String(Object.values(link)))
  }
  return parts.join('\n')
}

async function refusal(credentials: string | object, fetch?: typeof globalThis.fetch): Promise<FacetError> {
  try {
    await googleTokens(credentials, fetch ? { fetch } : {}).token()
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    return error as FacetError
  }
  return expect.unreachable('nothing was thrown')
}

describe('malformed credentials', () => {
  it.each<[string, string | object, string, string]>([
    ['no JSON', '{"private_key": "-----BEGIN', 'credentials', 'not valid JSON'],
    ['a path', '/home/me/key.json', 'credentials', 'not its path'],
    ['a list', [], 'credentials', 'must be an object'],
    ['an unknown type', { type: 'gdch_service_account' }, 'credentials.type', 'service_account'],
    ['no key', serviceAccount(HOST, { private_key: undefined }), 'credentials.private_key', 'is missing'],
    [
      'a key that is a number',
      serviceAccount(HOST, { private_key: 7 }),
      'credentials.private_key',
      'must be a text',
    ],
    ['an old key format', serviceAccount(HOST, { private_key: PKCS1 }), 'credentials.private_key', 'PKCS #1'],
    [
      'no PEM',
      serviceAccount(HOST, { private_key: 'abc' }),
      'credentials.private_key',
      '-----BEGIN PRIVATE KEY',
    ],
    [
      'half a key',
      serviceAccount(HOST, { private_key: PEM.replace(/.{200}\n-----END/s, '\n-----END') }),
      'credentials.private_key',
      'damaged',
    ],
    ['no e-mail', serviceAccount(HOST, { client_email: ' ' }), 'credentials.client_email', 'must be a text'],
    ['an address without TLS', serviceAccount('http://example.org'), 'credentials.token_uri', 'https'],
    ['no refresh token', user(HOST, { refresh_token: null }), 'credentials.refresh_token', 'must be a text'],
    ['no source', external(HOST, {}), 'credentials.credential_source.file', 'is missing'],
    [
      'a source for AWS',
      external(HOST, { environment_id: 'aws1' }),
      'credentials.credential_source.environment_id',
      'AWS',
    ],
    [
      'a wrong lifetime',
      external(HOST, { file: 'x' }, { service_account_impersonation: { token_lifetime_seconds: 1 } }),
      'credentials.service_account_impersonation.token_lifetime_seconds',
      '600',
    ],
    [
      'a source that is impersonated',
      { type: 'impersonated_service_account', source_credentials: { type: 'x' } },
      'credentials.source_credentials.type',
      'service_account',
    ],
  ])('with %s give one sentence with the field', async (_, credentials, field, words) => {
    const error = await refusal(credentials)
    expect(error.field).toBe(field)
    expect(error.message).toContain(field)
    expect(error.message).toContain(words)
    expect(error.message).toMatch(/^[^\n]+\.$/)
  })
})

describe('refused credentials', () => {
  const oauth = (error: string, description: string): Answer => ({
    status: 400,
    json: { error, error_description: description },
  })
  it.each<[string, (url: string) => object, Answer, string, string]>([
    [
      'an expired sign-in',
      user,
      oauth('invalid_grant', 'Token has been expired or revoked.'),
      'refresh_token',
      'gcloud auth',
    ],
    [
      'a session to confirm',
      user,
      oauth('invalid_grant', 'reauth related error (invalid_rapt)'),
      'refresh_token',
      'gcloud auth',
    ],
    [
      'a deleted key',
      serviceAccount,
      oauth('invalid_grant', 'Invalid JWT Signature.'),
      'private_key',
      'deleted',
    ],
    [
      'a deleted account',
      serviceAccount,
      oauth('invalid_grant', 'Invalid grant: account not found'),
      'client_email',
      'does not exist',
    ],
    [
      'an unknown provider',
      (url) => external(url, { url: `${url}/t` }),
      { status: 400, json: { error: 'invalid_target' } },
      'credential_source.url',
      'instead of a token',
    ],
    ['something unheard of', user, { status: 403, text: '<html>' }, 'refresh_token', 'was refused'],
  ])('for %s say what to do', async (_, credentials, answer, field, words) => {
    await using google = await fakeGoogle(() => answer)
    const error = await refusal(credentials(google.url))
    expect(error).toMatchObject({ code: 'unauthorized', retry: 'elsewhere', field: `credentials.${field}` })
    expect(error.message).toContain(words)
  })

  it.each<[string, Answer, string]>([
    ['no JSON', { text: '<html>' }, 'access_token'],
    ['no token', { json: { expires_in: 5 } }, 'access_token'],
    ['a token with a line break', { json: { access_token: 'a\nb', expires_in: 5 } }, 'access_token'],
    ['no lifetime', { json: { access_token: 'a' } }, 'expires_in'],
    ['a lifetime of nothing', { json: { access_token: 'a', expires_in: 0 } }, 'expires_in'],
  ])('are told from %s in a good answer', async (_, answer, field) => {
    await using google = await fakeGoogle(() => answer)
    expect(await refusal(user(google.url))).toMatchObject({ code: 'bad_response', field })
  })

  it('does not follow a redirect with the secret', async () => {
    await using google = await fakeGoogle(() => ({
      status: 307,
      text: '',
      headers: { location: '/elsewhere' },
    }))
    await refusal(user(google.url))
    expect(google.asked.map(({ path }) => path)).toEqual(['/token'])
  })
})

describe('secrets', () => {
  /** Long enough not to stand in a sentence by chance. */
  const secret = fc.stringMatching(/^[A-Za-z0-9+/]{24,60}$/)
  const junk = fc.oneof(fc.jsonValue(), fc.string())

  it('are in no error, whatever is wrong with the file and whatever the server echoes', async () => {
    const field = fc.constantFrom(
      'private_key',
      'client_secret',
      'refresh_token',
      'client_email',
      'token_uri',
      'type',
      'audience',
      'url',
      'file',
      'field',
    )
    await fc.assert(
      fc.asyncProperty(
        secret,
        field,
        junk,
        fc.constantFrom(200, 302, 400, 401, 403, 404, 500),
        fc.boolean(),
        async (value, spoiled, other, status, asText) => {
          const pem = `-----BEGIN PRIVATE KEY-----\n${value}\n-----END PRIVATE KEY-----`
          const source = {
            url: `${HOST}/${value}`,
            headers: { 'x-key': value },
            ...(spoiled === 'file' && { file: value }),
          }
          const files: object[] = [
            serviceAccount(HOST, {
              private_key: spoiled === 'private_key' ? pem : PEM,
              private_key_id: value,
              [spoiled]: value,
            }),
            user(HOST, { client_secret: value, refresh_token: value, [spoiled]: other }),
            external(HOST, { ...source, [spoiled]: other }),
            { [spoiled]: value, type: value, private_key: other },
          ]
          const echo = JSON.stringify({
            error: value,
            error_description: `${value} is wrong`,
            access_token: other,
          })
          const fetch = async (_: unknown, init?: RequestInit): Promise<Response> =>
            new Response(asText ? `${value}${String(init?.body)}` : echo, { status })
          for (const file of files) {
            const texts = [file, JSON.stringify(file), JSON.stringify(file).slice(0, -9)]
            for (const credentials of texts) {
              const error = await errorOf(credentials, fetch)
              if (error === undefined) continue
              expect(error).toBeInstanceOf(FacetError)
              expect(shown(error)).not.toContain(value)
              expect((error as FacetError).message).toMatch(/^[^\n]+\.$/)
            }
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('are in no error when the network fails with them in its message', async () => {
    const cause = Object.assign(new Error('connect refresh-token-value'), { code: 'ECONNREFUSED' })
    const fetch = async (): Promise<Response> =>
      Promise.reject(new TypeError('refresh-token-value', { cause }))
    const error = await refusal(user(HOST), fetch)
    expect(error).toMatchObject({ code: 'connection_failed' })
    expect(error.message).toContain('ECONNREFUSED')
    expect(shown(error)).not.toContain('refresh-token-value')
  })
})

async function errorOf(credentials: string | object, fetch: typeof globalThis.fetch): Promise<unknown> {
  try {
    await googleTokens(credentials, { fetch }).token()
    return undefined
  } catch (error) {
    return error
  }
}
