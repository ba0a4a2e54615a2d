/** Who may reach the pods and as whom they act: Service, ServiceAccount, NetworkPolicy, PodDisruptionBudget. */
import type { JsonObject } from '../target.ts'
import { type Identity, type KubeObject, selectorLabels, toObject } from './object.ts'
import { HTTP_PORT, type Serving } from './serving.ts'

/** Ranges that no public server has; the weights come from outside, everything else stays unreachable. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16']
/** From where Google's load balancers check health and proxy. */
const GOOGLE_FRONT_ENDS = ['35.191.0.0/16', '130.211.0.0/22']

/** @param identity with the Google service account that pods act as; left out: they are granted roles directly */
export function toServiceAccount(
  identity: Identity & { readonly googleServiceAccount?: string | undefined },
): KubeObject {
  const { googleServiceAccount } = identity
  return toObject(
    'v1',
    'ServiceAccount',
    identity,
    { automountServiceAccountToken: false },
    googleServiceAccount === undefined
      ? {}
      : { annotations: { 'iam.gke.io/gcp-service-account': googleServiceAccount } },
  )
}

/**
 * What a pod of the deployment that asks the API server acts as, with what it may ask in its own namespace. Its pod
 * mounts the token by itself.
 *
 * @param named the ServiceAccount, the Role and what binds them
 */
export function toApiAccess(
  identity: Identity,
  named: { readonly name: string; readonly component: string },
  rules: JsonObject[],
): KubeObject[] {
  const rbac = 'rbac.authorization.k8s.io'
  // A subject without a namespace is refused; kustomize and `kubectl -n` fill in nothing here.
  const subject = { kind: 'ServiceAccount', name: named.name, namespace: identity.namespace ?? 'default' }
  const roleRef = { apiGroup: rbac, kind: 'Role', name: named.name }
  return [
    toObject('v1', 'ServiceAccount', identity, { automountServiceAccountToken: false }, named),
    toObject(`${rbac}/v1`, 'Role', identity, { rules }, named),
    toObject(`${rbac}/v1`, 'RoleBinding', identity, { roleRef, subjects: [subject] }, named),
  ]
}

export const SERVICE_PORT = 80

/** Inside the cluster only. */
export function toService(serving: Serving): KubeObject {
  return toObject('v1', 'Service', serving, {
    spec: {
      type: 'ClusterIP',
      selector: { ...selectorLabels(serving) },
      ports: [{ name: 'http', port: SERVICE_PORT, targetPort: 'http', protocol: 'TCP', appProtocol: 'http' }],
    },
  })
}

/** The label that lets pods of the same namespace call the server. */
function toClientLabel(serving: Serving): string {
  return `${serving.name}-client`
}

/** What pods may reach: DNS, Google's metadata server and public HTTPS. */
export const EGRESS: readonly JsonObject[] = [
  {
    to: [
      {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
        podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
      },
    ],
    ports: [
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ],
  },
  {
    // Workload identity asks these for tokens: the first with Dataplane V2, the second without.
    to: [{ ipBlock: { cidr: '169.254.169.254/32' } }, { ipBlock: { cidr: '169.254.169.252/32' } }],
    ports: [
      { port: 80, protocol: 'TCP' },
      { port: 988, protocol: 'TCP' },
    ],
  },
  {
    to: [{ ipBlock: { cidr: '0.0.0.0/0', except: PRIVATE } }],
    ports: [{ port: 443, protocol: 'TCP' }],
  },
]

/** Calls from labelled pods of the namespace; out to DNS, to Google's metadata server and to public HTTPS. */
export function toNetworkPolicy(serving: Serving): KubeObject {
  return toObject('networking.k8s.io/v1', 'NetworkPolicy', serving, {
    spec: {
      podSelector: { matchLabels: { ...selectorLabels(serving) } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [{ podSelector: { matchLabels: { [toClientLabel(serving)]: 'true' } } }],
          ports: [{ port: HTTP_PORT, protocol: 'TCP' }],
        },
      ],
      egress: EGRESS,
    },
  })
}

/** One more way in, for what a component adds; policies add up. */
export function toIngressPolicy(
  serving: Serving,
  suffix: string,
  from: readonly JsonObject[],
  ports: readonly number[] = [HTTP_PORT],
): KubeObject {
  return toObject(
    'networking.k8s.io/v1',
    'NetworkPolicy',
    serving,
    {
      spec: {
        podSelector: { matchLabels: { ...selectorLabels(serving) } },
        policyTypes: ['Ingress'],
        ingress: [{ from, ports: ports.map((port) => ({ port, protocol: 'TCP' })) }],
      },
    },
    { name: `${serving.name}-${suffix}` },
  )
}

/** Lets in what comes through the API server's proxy: on GKE it calls pods by way of these agents. */
export function toApiServerPolicy(serving: Serving): KubeObject {
  return toIngressPolicy(serving, 'api-server', [
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
      podSelector: { matchLabels: { 'k8s-app': 'konnectivity-agent' } },
    },
  ])
}

/** Google's health checks, and the proxies of the region's proxy-only subnet. */
export function toGatewaySources(proxyRange: string): JsonObject[] {
  return [proxyRange, ...GOOGLE_FRONT_ENDS].map((cidr) => ({ ipBlock: { cidr } }))
}

/** At most one pod is taken at a time; pods that are not ready never hold up a drain. */
export function toDisruptionBudget(serving: Serving): KubeObject {
  return toObject('policy/v1', 'PodDisruptionBudget', serving, {
    spec: {
      // Not minAvailable: with one replica that would keep nodes from ever being drained.
      maxUnavailable: 1,
      selector: { matchLabels: { ...selectorLabels(serving) } },
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    },
  })
}
