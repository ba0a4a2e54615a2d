/** The InferencePool of a vLLM's pods, and the endpoint picker that chooses among them. */
import type { JsonObject } from '../target.ts'
import { toApiAccess } from './access.ts'
import { type KubeObject, objectLabels, selectorLabels, toObject } from './object.ts'
import { CONTAINER_SECURITY } from './pod.ts'
import { HTTP_PORT, type Serving } from './serving.ts'

const PICKER_PORT = 9002
const PICKER_HEALTH_PORT = 9003

/** inference.networking.k8s.io/v1 only: with the old group beside it a gateway answers 503. */
export function toInferencePool(serving: Serving): KubeObject {
  return toObject('inference.networking.k8s.io/v1', 'InferencePool', serving, {
    spec: {
      selector: { matchLabels: { ...selectorLabels(serving) } },
      targetPorts: [{ number: HTTP_PORT }],
      endpointPickerRef: {
        kind: 'Service',
        name: toPickerName(serving),
        port: { number: PICKER_PORT },
        // Without the picker requests go to any pod, rather than to none.
        failureMode: 'FailOpen',
      },
    },
  })
}

const toPickerName = (serving: Serving): string => `${serving.name}-picker`

/** Reads pods and pool, and says for every request which pod has the shortest queue and the prompt cached. */
export function toPicker(serving: Serving, image: string): KubeObject[] {
  const options = { name: toPickerName(serving), component: 'picker' }
  const labels = { ...selectorLabels(serving, 'picker') }
  const read = (apiGroup: string, ...resources: string[]): JsonObject => ({
    apiGroups: [apiGroup],
    resources,
    verbs: ['get', 'list', 'watch'],
  })
  const health = { grpc: { port: PICKER_HEALTH_PORT, service: 'inference-extension' } }
  const container: JsonObject = {
    name: 'picker',
    image,
    args: [
      `--pool-name=${serving.name}`,
      '--pool-namespace=$(NAMESPACE)',
      `--grpc-port=${PICKER_PORT}`,
      `--grpc-health-port=${PICKER_HEALTH_PORT}`,
    ],
    env: [{ name: 'NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } }],
    ports: [
      { name: 'grpc', containerPort: PICKER_PORT, protocol: 'TCP' },
      { name: 'grpc-health', containerPort: PICKER_HEALTH_PORT, protocol: 'TCP' },
    ],
    startupProbe: { ...health, periodSeconds: 2, failureThreshold: 60 },
    readinessProbe: { ...health, periodSeconds: 5 },
    livenessProbe: { ...health, periodSeconds: 10, failureThreshold: 6 },
    resources: { requests: { cpu: '500m', memory: '512Mi' }, limits: { memory: '2Gi' } },
    securityContext: CONTAINER_SECURITY,
  }
  return [
    ...toApiAccess(serving, options, [
      read('', 'pods'),
      read('inference.networking.k8s.io', 'inferencepools'),
      read('inference.networking.x-k8s.io', 'inferenceobjectives'),
    ]),
    toObject(
      'apps/v1',
      'Deployment',
      serving,
      {
        spec: {
          selector: { matchLabels: labels },
          template: {
            metadata: { labels: { ...objectLabels(serving, 'picker') } },
            spec: {
              serviceAccountName: options.name,
              // It watches pods and pool.
              automountServiceAccountToken: true,
              enableServiceLinks: false,
              terminationGracePeriodSeconds: 130,
              securityContext: {
                runAsNonRoot: true,
                runAsUser: 65532,
                runAsGroup: 65532,
                seccompProfile: { type: 'RuntimeDefault' },
              },
              containers: [container],
            },
          },
        },
      },
      options,
    ),
    toObject(
      'v1',
      'Service',
      serving,
      {
        spec: {
          type: 'ClusterIP',
          selector: labels,
          ports: [
            { name: 'grpc', port: PICKER_PORT, targetPort: 'grpc', protocol: 'TCP', appProtocol: 'http2' },
          ],
        },
      },
      options,
    ),
  ]
}
