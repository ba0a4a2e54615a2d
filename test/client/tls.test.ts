/** Servers whose certificate nobody should trust, and addresses that speak no TLS: on real sockets. */
import { createServer as createPlain } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect } from '../../src/client/collect.ts'
import { createClient } from '../../src/client/http.ts'
import { FacetError } from '../../src/errors.ts'

// Made for this test, for localhost alone, signed by nobody but itself.
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUC2k6W1oRunsL6s8UPZ+Tg6H5PKMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzA5MDYwMVoYDzIxMjYxMDMw
MDkwNjAxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASIBQJ45K8MloUhLmdexoUEU6tcRGCHVqkqRBfKN+VIltky74bNCWK0
a7iZFoWBS3D1VJFLAurrGpeV/oKmgChjo2kwZzAdBgNVHQ4EFgQUz4s833dofHKK
JBGzT9YyGE9WrXwwHwYDVR0jBBgwFoAUz4s833dofHKKJBGzT9YyGE9WrXwwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
RwAwRAIgIN2dfYmqldDBh9l1pkvFN4edIyxbcdHkKdvH4GkOPZsCIAm22wSoEKXz
zc8XOHnwjl+lbgkfxBoclRUJ2a9Tt5bL
-----END CERTIFICATE-----`
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgudOyWm+hzGKOPCMN
dM+WVn1SavFMoH/5ynOpyf+XmNChRANCAASIBQJ45K8MloUhLmdexoUEU6tcRGCH
VqkqRBfKN+VIltky74bNCWK0a7iZFoWBS3D1VJFLAurrGpeV/oKmgChj
-----END PRIVATE KEY-----`

const secure = createServer({ cert: CERTIFICATE, key: KEY }, (_, response) => response.end())
const plain = createPlain((_, response) => response.end())
const listen = (server: Server): Promise<void> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const portOf = (server: Server): number => (server.address() as AddressInfo).port

beforeAll(async () => {
  await Promise.all([listen(secure), listen(plain)])
})
afterAll(async () => {
  const ended = [secure, plain].map((server) => new Promise((resolve) => server.close(resolve)))
  secure.closeAllConnections()
  plain.closeAllConnections()
  await Promise.all(ended)
})

async function refusal(baseURL: string): Promise<FacetError> {
  try {
    const client = createClient({ baseURL, apiKey: 'sk-secret' })
    await collect(client.chat({ messages: [{ role: 'user', content: 'Hi' }] }))
  } catch (error) {
    expect(error).toBeInstanceOf(FacetError)
    return error as FacetError
  }
  return expect.unreachable('nothing was thrown')
}

describe('a secure connection', () => {
  it('is refused for a certificate that nobody vouches for', async () => {
    const error = await refusal(`https://localhost:${portOf(secure)}/v1`)
    expect(error).toMatchObject({ code: 'connection_failed', retry: 'elsewhere' })
    expect(error.message).toMatch(
      /^The certificate of https:\/\/localhost:\d+ is not trusted \(.*SIGNED.*\).*NODE_EXTRA_CA_CERTS.*\.$/,
    )
  })

  it('is refused where the server speaks no TLS, and where TLS meets plain HTTP', async () => {
    expect(await refusal(`https://127.0.0.1:${portOf(plain)}/v1`)).toMatchObject({
      code: 'connection_failed',
    })
    expect(await refusal(`http://127.0.0.1:${portOf(secure)}/v1`)).toMatchObject({
      code: 'connection_failed',
    })
  })
})
