/** Causes that a pod's containers and events tell. */
import { type Finding, type Signal, sentence } from './cause.ts'
import { iamFrom } from './cause-iam.ts'

const PULLING = /^(?:ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|RegistryUnavailable)$/
const UNREACHABLE =
  /dial tcp|i\/o timeout|no such host|TLS handshake timeout|connection refused|network is unreachable/i
const FORBIDDEN = /403|denied|forbidden|unauthorized/i

export function fromPod(signal: Signal): Finding | undefined {
  return fromContainer(signal) ?? fromEvent(signal)
}

function fromContainer(signal: Signal): Finding | undefined {
  if (signal.type !== 'container') return undefined
  const { container, reason, last, message = '' } = signal
  const from = `${signal.source}: ${reason ?? last?.reason ?? signal.state}`
  if (reason === 'OOMKilled' || last?.reason === 'OOMKilled') {
    return {
      cause: 'OOM_HOST',
      container,
      says: `Container ${container} took more memory of the machine than it may; raise its memory, or load weights without copying them through it.`,
      from,
    }
  }
  if (reason !== undefined && PULLING.test(reason)) return pulling(message, from)
  if (reason === 'CreateContainerConfigError' || reason === 'CreateContainerError') {
    const missing = /(secret|configmap) "?([\w.-]+)"? not found/i.exec(message)
    const field = missing ? `${missing[1]!.toLowerCase()} ${missing[2]}` : `container ${container}`
    return {
      cause: 'SPEC',
      field,
      says: `The container cannot be made: ${sentence(message || reason)}`,
      from,
    }
  }
  return undefined
}

function pulling(message: string, from: string): Finding {
  const image = /(?:pull(?:ing)? image|image) "?([\w./:@-]+)"?/i.exec(message)?.[1]
  if (UNREACHABLE.test(message)) {
    return {
      cause: 'NETWORK',
      says: `The registry of the image cannot be reached: ${sentence(message)}`,
      from,
    }
  }
  const denied = FORBIDDEN.test(message) ? iamFrom(message) : undefined
  if (denied) return { ...denied, says: `The node may not pull the image: ${denied.role} is missing.`, from }
  return {
    cause: 'IMAGE',
    ...(image !== undefined && { image }),
    says: `The image${image ? ` ${image}` : ''} cannot be pulled; check its name, its tag, and who may read it.`,
    from,
  }
}

function fromEvent(signal: Signal): Finding | undefined {
  if (signal.type !== 'event' && signal.type !== 'condition') return undefined
  const { reason, message } = signal
  const from = `${signal.source}: ${reason}`
  if (reason === 'Failed' && /pull image/i.test(message)) return pulling(message, from)
  if (reason === 'Evicted' && /memory/i.test(message)) {
    return { cause: 'OOM_HOST', says: `The machine ran out of memory: ${sentence(message)}`, from }
  }
  if (reason === 'FailedMount' || reason === 'FailedAttachVolume') {
    const denied = iamFrom(message)
    if (denied) return { ...denied, says: `The volume cannot be mounted: ${denied.role} is missing.`, from }
    const missing = /(secret|configmap) "?([\w./-]+)"? not found/i.exec(message)
    if (missing) {
      const field = `${missing[1]!.toLowerCase()} ${missing[2]}`
      return { cause: 'SPEC', field, says: `A volume names what is not there: ${field}.`, from }
    }
  }
  if (reason === 'NotTriggerScaleUp' && /didn't match|untolerated|node affinity|selector/i.test(message)) {
    return {
      cause: 'SPEC',
      field: 'nodeSelector',
      says: `No node pool of the cluster can take the pod: ${sentence(message)}`,
      from,
    }
  }
  if (/^(?:NetworkNotReady|FailedCreatePodSandBox)$/.test(reason)) {
    return { cause: 'NETWORK', says: `The pod has no network: ${sentence(message)}`, from }
  }
  return undefined
}

/** The kubelet ended a container because of a probe. */
export function probeKilled(signal: Signal): Finding | undefined {
  if (signal.type !== 'event') return undefined
  const probe =
    /failed (startup|liveness) probe/i.exec(signal.message)?.[1] ??
    (signal.reason === 'Unhealthy' ? /^(liveness) probe/i.exec(signal.message)?.[1] : undefined) ??
    /failed to start and listen on the port/i.exec(signal.message)?.[0]?.replace(/.*/, 'startup')
  if (probe === undefined) return undefined
  return {
    cause: 'PROBE',
    probe: probe.toLowerCase(),
    says: `The ${probe.toLowerCase()} probe gave up on the server: give it more time, or see its log.`,
    from: `${signal.source}: ${signal.reason}`,
  }
}
