/** Rules about one pod template: its probes, arguments, accelerators, secrets, images and mounts. */
import { planMemory } from '../../src/gemma/memory-plan.ts'
import { modelOf } from '../models.ts'
import { ACCELERATORS, accelerator } from '../profiles.ts'

import { at, isObject, listOf } from './json.ts'
import type { Complaint, Container, Pod } from './lint.ts'

type PodRule = (pod: Pod) => Complaint[]

/** Where `/health` says only that a process is up. */
const SHALLOW = /^\/(health|healthz|livez|ping|)$/
const SECRET_NAME = /(TOKEN|KEY|SECRET|PASSWORD)$/
const SECRET_ARGUMENT = /^--?(api-key|hf-token|token|password)(=|$)/
/** Hugging Face tokens begin so. */
const TOKEN = /\bhf_[A-Za-z0-9]{8,}/
/** More than this many times what the model needs is a mistake, not headroom. */
const MOST_SPARE = 2
/** Of a GPU's memory, as vLLM has it by default. */
const MEMORY_SHARE = 0.9

const probes: PodRule = (pod) =>
  servers(pod).flatMap(({ body, path }) => {
    const says = (field: string, text: string): Complaint => ({
      rule: 'probes',
      object: pod.object,
      field: `${path}.${field}`,
      says: text,
    })
    return [
      ...(body.readinessProbe
        ? []
        : [
            says(
              'readinessProbe',
              'The server gets requests before it has loaded its model: add a readinessProbe.',
            ),
          ]),
      ...(body.startupProbe
        ? []
        : [
            says(
              'startupProbe',
              body.livenessProbe
                ? 'The livenessProbe kills the server while it loads: add a startupProbe that lasts as long as loading may.'
                : 'Nothing bounds how long loading may take: add a startupProbe that lasts as long as loading may.',
            ),
          ]),
    ]
  })

const modelProbe: PodRule = (pod) =>
  servers(pod).flatMap(({ body, path }) => {
    const asked = at(body, 'readinessProbe', 'httpGet', 'path')
    if (typeof asked !== 'string' || !SHALLOW.test(asked)) return []
    return [
      {
        rule: 'model-probe',
        object: pod.object,
        field: `${path}.readinessProbe.httpGet.path`,
        says: `${asked} answers whether or not a model is served: ask for /v1/models.`,
      },
    ]
  })

const shellVariable: PodRule = (pod) =>
  pod.containers.flatMap(({ words, body, path }) => {
    // A shell expands them itself.
    const shell = words.some(({ text }) => /(^|\/)(ba|da|z)?sh$/.test(text))
    const places = [
      ...(shell ? [] : words),
      ...listOf(body.env).flatMap(({ value }, index) =>
        typeof value === 'string' ? [{ path: `${path}.env[${index}].value`, text: value }] : [],
      ),
    ]
    return places.flatMap(({ path: field, text }) => {
      const [whole, name] = /\$\{(\w+)\}/.exec(text) ?? []
      if (whole === undefined) return []
      const says = `Kubernetes passes ${whole} on as it stands: write $(${name}).`
      return [{ rule: 'shell-variable', object: pod.object, field, says }]
    })
  })

const idleAccelerators: PodRule = (pod) =>
  servers(pod).flatMap(({ words, accelerators, path }) => {
    const complaint = (says: string): Complaint[] => [
      { rule: 'idle-accelerators', object: pod.object, field: `${path}.resources.limits`, says },
    ]
    const parallel = Number(flag(words, 'tensor-parallel-size') ?? Number.NaN)
    if (parallel < accelerators)
      return complaint(
        `${accelerators} accelerators are asked for, and --tensor-parallel-size uses ${parallel}: the others stand idle.`,
      )
    const needed = neededGpus(pod, words)
    return needed !== undefined && accelerators > needed.count * MOST_SPARE
      ? complaint(
          `${accelerators} x ${needed.title} are asked for, and ${needed.model} fits ${needed.count}: ask for ${needed.count}, and for more replicas where one is too slow.`,
        )
      : []
  })

/** What has slipped one level in is no longer where Kubernetes looks, for example containers under affinity. */
const misplacedField: PodRule = (pod) => {
  const inside = ['affinity', 'securityContext', 'nodeSelector'].flatMap((outer) => {
    const value = pod.spec[outer]
    return isObject(value)
      ? ['containers', 'initContainers', 'volumes', 'tolerations'].flatMap((name) =>
          value[name] === undefined ? [] : [`${outer}.${name}`],
        )
      : []
  })
  return inside.map((name) => ({
    rule: 'misplaced-field',
    object: pod.object,
    field: `${pod.path}.${name}`,
    says: `${name.split('.')[1]} stands inside ${name.split('.')[0]}, where nothing reads it: move it out by one level.`,
  }))
}

const plainSecret: PodRule = (pod) =>
  pod.containers.flatMap(({ body, path, words }) => {
    const complaint = (field: string, what: string): Complaint => ({
      rule: 'plain-secret',
      object: pod.object,
      field,
      says: `${what} stands in the manifest, for everybody to read who may read it: put it into a Secret and name that with secretKeyRef.`,
    })
    const variables = listOf(body.env).flatMap(({ name, value }, index) =>
      typeof name === 'string' && typeof value === 'string' && isSecret(name, value)
        ? [complaint(`${path}.env[${index}].value`, name)]
        : [],
    )
    const argument = words.flatMap(({ path: field, text }, index) => {
      const named = SECRET_ARGUMENT.exec(text)
      const value = named ? (text.includes('=') ? text.split('=')[1] : words[index + 1]?.text) : undefined
      // $(NAME) comes from the environment, which may come from a Secret.
      const plain = (value !== undefined && value !== '' && !value.startsWith('$(')) || TOKEN.test(text)
      return plain ? [complaint(field, named ? `The value of --${named[1]}` : 'A Hugging Face token')] : []
    })
    return [...variables, ...argument]
  })

const imageVersion: PodRule = (pod) =>
  pod.containers.flatMap(({ body, path }) => {
    const { image } = body
    if (typeof image !== 'string') return []
    const complaint = (says: string): Complaint[] => [
      { rule: 'image-version', object: pod.object, field: `${path}.image`, says },
    ]
    if (image.includes('text-generation-inference'))
      return complaint('TGI was archived in March 2026 and gets no more fixes: use vLLM.')
    if (image.includes('@sha256:') || /:(?!latest$)[\w][\w.-]*$/.test(image)) return []
    return complaint(`${image} is another image tomorrow: name a version.`)
  })

const fuseSidecar: PodRule = (pod) => {
  const mounted = listOf(pod.spec.volumes).some(
    (volume) => at(volume, 'csi', 'driver') === 'gcsfuse.csi.storage.gke.io',
  )
  if (!mounted) return []
  const complaint = (name: string, says: string): Complaint => ({
    rule: 'fuse-sidecar',
    object: pod.object,
    field: pod.path.replace(/spec$/, `metadata.annotations.${name}`),
    says,
  })
  return [
    ...(pod.annotations['gke-gcsfuse/volumes'] === 'true'
      ? []
      : [
          complaint(
            'gke-gcsfuse/volumes',
            'Without this annotation, set to "true", the bucket is never mounted.',
          ),
        ]),
    ...(pod.annotations['gke-gcsfuse/memory-limit'] === '0'
      ? []
      : [
          complaint(
            'gke-gcsfuse/memory-limit',
            'With its default limit the sidecar runs out of memory on model files: set "0", which is none.',
          ),
        ]),
  ]
}

export const POD_RULES: readonly PodRule[] = [
  probes,
  modelProbe,
  shellVariable,
  idleAccelerators,
  misplacedField,
  plainSecret,
  imageVersion,
  fuseSidecar,
]

/** Containers that hold an accelerator and serve; those of Jobs come to an end and need no probes. */
function servers(pod: Pod): Container[] {
  return ['Job', 'CronJob', 'JobSet'].includes(String(pod.object.kind))
    ? []
    : pod.containers.filter(({ accelerators }) => accelerators > 0)
}

function isSecret(name: string, value: string): boolean {
  return TOKEN.test(value) || (SECRET_NAME.test(name) && value !== '' && !value.startsWith('$('))
}

/** The value of `--name=value` or `--name value`. */
function flag(words: Container['words'], name: string): string | undefined {
  const index = words.findIndex(({ text }) => text === `--${name}` || text.startsWith(`--${name}=`))
  return words[index]?.text.split('=')[1] ?? words[index + 1]?.text
}

function neededGpus(
  pod: Pod,
  words: Container['words'],
): { readonly count: number; readonly title: string; readonly model: string } | undefined {
  const label = at(pod.spec, 'nodeSelector', 'cloud.google.com/gke-accelerator')
  const kind = ACCELERATORS.map(accelerator).find(({ gkeLabel }) => gkeLabel === label)
  const name =
    flag(words, 'model') ?? words.map(({ text }) => text).find((text) => modelOf(text) !== undefined)
  const model = name === undefined ? undefined : modelOf(name)
  if (!kind || !model) return undefined
  // Room for one sequence of 8192 tokens beside the weights.
  const { weights, kv } = planMemory(model.config, {
    quantization: null,
    contextTokens: Math.min(model.config.contextTokens, 8192),
  })
  const count = Math.ceil((weights.total + kv.total) / (kind.memoryBytes * MEMORY_SHARE))
  return { count, title: kind.title, model: model.id }
}
