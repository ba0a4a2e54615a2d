import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createClient } from '../../src/client/http.ts'
import { FacetError } from '../../src/errors.ts'
import { googleTokens, metadataTokens } from '../../src/google/google.ts'
import { applicationDefault } from '../../src/google/node.ts'
import { eventStream, FakeClock, fakeFetch } from '../client/fake-server.ts'
import { external, fakeGoogle, granted, PEM, serviceAccount, user, verified } from './fake-google.ts'

const folder = mkdtempSync(join(tmpdir(), 'facet-google-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const thrownBy = async (work: () => unknown): Promise<FacetError> => {
  try {
    await work()
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    return error as FacetError
  }
  return expect.unreachable('nothing was thrown')
}

describe('a service account', () => {
  it('signs a JWT of an hour with its own key and gets a token for it', async () => {
    await using google = await fakeGoogle(() => granted('ya29.first'))
    const clock = new FakeClock()
    const source = googleTokens(serviceAccount(google.url), { clock })
    expect(await source.token()).toBe('ya29.first')
    expect(google.asked[0]!.form.grant_type).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer')
    const { header, iat, exp, ...claims } = verified(google.asked[0]!.form.assertion!)
    expect(header).toEqual({ alg: 'RS256', typ: 'JWT', kid: 'key-1' })
    expect(claims).toEqual({
      iss: 'caller@facet-test.iam.gserviceaccount.com',
      aud: `${google.url}/token`,
      scope: 'https://www.googleapis.com/auth/cloud-platform',
    })
    expect(Number(iat)).toBeLessThan(clock.nowMs / 1000)
    expect(Number(exp) - Number(iat)).toBe(3600)
  })

  it('takes the file as text, and a key whose newlines an environment variable has escaped', async () => {
    await using google = await fakeGoogle(() => granted('ya29.x'))
    const escaped = serviceAccount(google.url, { private_key: PEM.replaceAll('\n', '\\n') })
    expect(await googleTokens(JSON.stringify(escaped)).token()).toBe('ya29.x')
    verified(google.asked[0]!.form.assertion!)
  })

  it("signs again by the server's time when its own clock is wrong", async () => {
    const clock = new FakeClock()
    const serverMs = clock.nowMs + 3 * 3_600_000
    await using google = await fakeGoogle(({ form }) => {
      const headers = { date: new Date(serverMs).toUTCString() }
      const { iat, exp } = verified(form.assertion!)
      const fits = Number(iat) * 1000 <= serverMs && serverMs < Number(exp) * 1000
      return fits
        ? { ...granted('ya29.in-time'), headers }
        : { status: 400, headers, json: { error: 'invalid_grant', error_description: 'Check iat and exp' } }
    })
    expect(await googleTokens(serviceAccount(google.url), { clock }).token()).toBe('ya29.in-time')
    expect(google.asked).toHaveLength(2)
  })
})

describe('a token', () => {
  it('is kept until shortly before it expires', async () => {
    await using google = await fakeGoogle((_, count) => granted(`token-${count}`))
    const clock = new FakeClock()
    const source = googleTokens(user(google.url), { clock })
    expect(await source.token()).toBe('token-1')
    clock.advance(54 * 60_000)
    expect(await source.token()).toBe('token-1')
    clock.advance(2 * 60_000)
    expect(await source.token()).toBe('token-2')
    expect(google.asked).toHaveLength(2)
  })

  it('is asked for once, however many wait for it', async () => {
    await using google = await fakeGoogle((_, count) => granted(`token-${count}`))
    const source = googleTokens(user(google.url))
    const tokens = await Promise.all(Array.from({ length: 50 }, () => source.token()))
    expect(new Set(tokens)).toEqual(new Set(['token-1']))
    expect(google.asked).toHaveLength(1)
  })

  it('is asked for anew after a server refused it, or the clock was set back', async () => {
    await using google = await fakeGoogle((_, count) => granted(`token-${count}`))
    const clock = new FakeClock()
    const source = googleTokens(user(google.url), { clock })
    source.refused(await source.token())
    expect(await source.token()).toBe('token-2')
    source.refused('another')
    expect(await source.token()).toBe('token-2')
    clock.advance(-24 * 3_600_000)
    expect(await source.token()).toBe('token-3')
  })

  it('serves on while it lasts when its refresh fails', async () => {
    await using google = await fakeGoogle((_, count) =>
      count === 1 ? granted('token-1') : { status: 503, text: 'busy' },
    )
    const clock = new FakeClock()
    const source = googleTokens(user(google.url), { clock })
    await source.token()
    clock.advance(57 * 60_000)
    expect(await source.token()).toBe('token-1')
    clock.advance(2.6 * 60_000)
    expect(await thrownBy(() => source.token())).toMatchObject({ code: 'unavailable', retry: 'elsewhere' })
  })

  it('lets one caller leave without taking the refresh from the others', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    await using google = await fakeGoogle(async () => {
      await promise
      return granted('token-1')
    })
    const source = googleTokens(user(google.url))
    const control = new AbortController()
    const left = thrownBy(() => source.token(control.signal))
    const stays = source.token()
    control.abort()
    expect(await left).toMatchObject({ code: 'aborted' })
    resolve()
    expect(await stays).toBe('token-1')
    expect(google.asked).toHaveLength(1)
  })

  it('is given up after 20 seconds, and the next call asks again', async () => {
    const { promise: arrived, resolve } = Promise.withResolvers<void>()
    await using google = await fakeGoogle((_, count) => {
      resolve()
      return count === 1 ? undefined : granted('token-2')
    })
    const clock = new FakeClock()
    const source = googleTokens(user(google.url), { clock })
    const stuck = thrownBy(() => source.token())
    await arrived
    await clock.expire(20_000)
    expect(await stuck).toMatchObject({ code: 'timeout' })
    expect(await source.token()).toBe('token-2')
    expect(clock.pending).toBe(0)
  })

  /** A client of a server that refuses these tokens. */
  const clientRefusing = (
    url: string,
    ...refused: readonly string[]
  ): { ask: () => Promise<void>; tokens: () => string[] } => {
    const { fetch, calls } = fakeFetch(({ headers }) => {
      const token = headers.get('authorization')!.slice('Bearer '.length)
      const error = { code: 401, message: `No ${token} here`, status: 'UNAUTHENTICATED' }
      return refused.includes(token)
        ? Response.json({ error }, { status: 401 })
        : eventStream('data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n')
    })
    const client = createClient({ baseURL: 'http://127.0.0.1:1/v1', auth: googleTokens(user(url)), fetch })
    const ask = async (): Promise<void> => {
      for await (const _ of client.chat({ prompt: 'x' }));
    }
    return { ask, tokens: () => calls.map(({ headers }) => headers.get('authorization')!.slice(7)) }
  }

  it('signs the requests of a client in, and is renewed after a 401 without the caller noticing', async () => {
    await using google = await fakeGoogle((_, count) => granted(`ya29.token-${count}`))
    const { ask, tokens } = clientRefusing(google.url, 'ya29.token-1')
    await ask()
    await ask()
    expect(tokens()).toEqual(['ya29.token-1', 'ya29.token-2', 'ya29.token-2'])
  })

  it('is renewed once for each request, and stands in no error', async () => {
    await using google = await fakeGoogle((_, count) => granted(`ya29.token-${count}`))
    const { ask, tokens } = clientRefusing(google.url, 'ya29.token-1', 'ya29.token-2')
    const error = await thrownBy(ask)
    expect(error).toMatchObject({ code: 'unauthorized', message: 'No [hidden] here' })
    expect(tokens()).toEqual(['ya29.token-1', 'ya29.token-2'])
  })

  it('is not sent again where the source has no other', async () => {
    let asked = 0
    const client = createClient({
      baseURL: 'http://127.0.0.1:1/v1',
      auth: { token: async () => 'the-only-token', refused: () => {} },
      fetch: async () => {
        asked++
        return new Response('', { status: 401 })
      },
    })
    expect(await thrownBy(() => client.models())).toMatchObject({ code: 'unauthorized' })
    expect(asked).toBe(1)
  })
})

describe('workload identity federation', () => {
  const impersonated = (url: string): object => ({
    service_account_impersonation_url: `${url}/impersonate/caller:generateAccessToken`,
  })
  const sts = (path: string): ReturnType<typeof granted> =>
    path === '/sts'
      ? granted('federated')
      : { json: { accessToken: 'impersonated', expireTime: new Date(Date.now() + 3_600_000).toISOString() } }

  it("exchanges the token in a file and then asks for the service account's", async () => {
    await using google = await fakeGoogle(({ path }) => sts(path))
    const file = join(folder, 'oidc.json')
    writeFileSync(file, JSON.stringify({ value: 'subject-token' }))
    const source = { file, format: { type: 'json', subject_token_field_name: 'value' } }
    const path = join(folder, 'external.json')
    writeFileSync(path, JSON.stringify(external(google.url, source, impersonated(google.url))))
    const tokens = await applicationDefault({ env: { GOOGLE_APPLICATION_CREDENTIALS: path } })
    expect(await tokens.token()).toBe('impersonated')
    expect(google.asked[0]!.form).toMatchObject({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'subject-token',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      audience: expect.stringContaining('workloadIdentityPools/pool'),
    })
    expect(google.asked[1]).toMatchObject({ path: '/impersonate/caller:generateAccessToken' })
    expect(google.asked[1]!.headers.authorization).toBe('Bearer federated')
    expect(JSON.parse(google.asked[1]!.body)).toEqual({
      scope: ['https://www.googleapis.com/auth/cloud-platform'],
      lifetime: '3600s',
    })
  })

  it('fetches the token from an address, or from a function where there are no files', async () => {
    await using google = await fakeGoogle(({ path }) =>
      path === '/subject' ? { text: ' from-url\n' } : sts(path),
    )
    const url = { url: `${google.url}/subject`, headers: { 'x-metadata': 'yes' } }
    expect(await googleTokens(external(google.url, url)).token()).toBe('federated')
    expect(google.asked[0]!.headers['x-metadata']).toBe('yes')
    expect(google.asked[1]!.form.subject_token).toBe('from-url')
    const own = googleTokens(external(google.url, undefined), { subjectToken: async () => 'from-program' })
    expect(await own.token()).toBe('federated')
    expect(google.asked[2]!.form.subject_token).toBe('from-program')
  })

  it("lets a user's credentials impersonate a service account", async () => {
    await using google = await fakeGoogle(({ path }) =>
      path === '/token' ? granted('users-own') : sts(path),
    )
    const credentials = {
      type: 'impersonated_service_account',
      source_credentials: user(google.url),
      delegates: ['projects/-/serviceAccounts/middle'],
      ...impersonated(google.url),
    }
    expect(await googleTokens(credentials).token()).toBe('impersonated')
    expect(google.asked[1]!.headers.authorization).toBe('Bearer users-own')
    expect(JSON.parse(google.asked[1]!.body).delegates).toEqual(['projects/-/serviceAccounts/middle'])
  })

  it.each([
    ['AWS', { environment_id: 'aws1' }, 'environment_id', 'AWS'],
    ['programs', { executable: { command: 'x' } }, 'executable', 'subjectToken'],
    ['certificates', { certificate: {} }, 'certificate', 'certificates'],
  ])('refuses %s by name', async (_, source, field, word) => {
    const error = await thrownBy(() => googleTokens(external('http://127.0.0.1:1', source)))
    expect(error.field).toBe(`credentials.credential_source.${field}`)
    expect(error.message).toContain(word)
  })

  it('says that there are no files where there are none', async () => {
    const error = await thrownBy(() => googleTokens(external('http://127.0.0.1:1', { file: '/token' })))
    expect(error).toMatchObject({ code: 'invalid_request', field: 'credentials.credential_source.file' })
    expect(error.message).toContain('subjectToken')
  })
})

describe('application-default credentials', () => {
  it("takes gcloud's own file where no variable names one", async () => {
    await using google = await fakeGoogle(() => granted('ya29.gcloud'))
    writeFileSync(join(folder, 'application_default_credentials.json'), JSON.stringify(user(google.url)))
    const tokens = await applicationDefault({ env: { CLOUDSDK_CONFIG: folder } })
    expect(await tokens.token()).toBe('ya29.gcloud')
    expect(google.asked[0]!.form).toMatchObject({
      grant_type: 'refresh_token',
      refresh_token: 'refresh-token-value',
    })
  })

  it('asks the metadata server where there is no file', async () => {
    await using google = await fakeGoogle(({ headers }) =>
      headers['metadata-flavor'] === 'Google' ? granted('ya29.machine') : { status: 403, text: '' },
    )
    const env = { CLOUDSDK_CONFIG: join(folder, 'none'), GCE_METADATA_HOST: new URL(google.url).host }
    expect(await (await applicationDefault({ env })).token()).toBe('ya29.machine')
    expect(google.asked[0]!.path).toBe('/computeMetadata/v1/instance/service-accounts/default/token')
  })

  it('says all the ways to sign in where there is none', async () => {
    const fetch = async (): Promise<Response> => Promise.reject(new TypeError('fetch failed'))
    const tokens = await applicationDefault({ env: { CLOUDSDK_CONFIG: join(folder, 'none') }, fetch })
    const { code, message } = await thrownBy(() => tokens.token())
    expect(code).toBe('unauthorized')
    for (const way of ['GOOGLE_APPLICATION_CREDENTIALS', 'gcloud auth', 'Google Cloud'])
      expect(message).toContain(way)
  })

  it('names the file whose content is wrong, and a named file that is missing', async () => {
    const path = join(folder, 'broken.json')
    writeFileSync(path, '{"type": "service_account", "client_email": "a@b"}')
    const broken = await thrownBy(() => applicationDefault({ env: { GOOGLE_APPLICATION_CREDENTIALS: path } }))
    expect(broken).toMatchObject({ field: 'credentials.private_key', message: expect.stringContaining(path) })
    const missing = await thrownBy(() =>
      applicationDefault({ env: { GOOGLE_APPLICATION_CREDENTIALS: `${path}x` } }),
    )
    expect(missing).toMatchObject({ code: 'io_failed', field: 'GOOGLE_APPLICATION_CREDENTIALS' })
  })
})

describe('the metadata server', () => {
  it('says that this is no machine of Google Cloud, or that it lacks the account', async () => {
    await using google = await fakeGoogle(() => ({ status: 404, text: 'Not Found' }))
    const host = new URL(google.url).host
    expect(await thrownBy(() => metadataTokens({ host, account: 'x@y' }).token())).toMatchObject({
      code: 'unauthorized',
      field: 'account',
    })
    const fetch = async (): Promise<Response> => Promise.reject(new TypeError('fetch failed'))
    expect((await thrownBy(() => metadataTokens({ fetch }).token())).message).toContain(
      'no machine of Google Cloud',
    )
  })
})

it('keeps the fake honest: the assertion is bound to the key', () => {
  const forged = `${Buffer.from('{}').toString('base64url')}.${Buffer.from('{}').toString('base64url')}.${createHash('sha256').digest('base64url')}`
  expect(() => verified(forged)).toThrow('signature')
})
