/** A client for the fake API server, as a kubeconfig would make it. */
import { KubeConfig } from '@kubernetes/client-node'
import { type ClientOptions, KubeClient } from '../../../../deploy/k8s/client.ts'
import { ADMIN_TOKEN, CERTIFICATE, type FakeApi } from './server.ts'

export function kubeConfig(api: Pick<FakeApi, 'url'>, token: string = ADMIN_TOKEN): KubeConfig {
  const config = new KubeConfig()
  config.loadFromOptions({
    clusters: [{ name: 'fake', server: api.url, caData: Buffer.from(CERTIFICATE).toString('base64') }],
    users: [{ name: 'me', token }],
    contexts: [{ name: 'fake', cluster: 'fake', user: 'me' }],
    currentContext: 'fake',
  })
  return config
}

export function kubeClient(api: Pick<FakeApi, 'url'>, options: Partial<ClientOptions> = {}): KubeClient {
  return new KubeClient({ config: kubeConfig(api), ...options })
}
