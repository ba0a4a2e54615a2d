/** What `up`, `status`, `logs` and `down` share: the deployment, its plan, its target, and Ctrl+C. */
import { dirname } from 'node:path'
import type { CanaryTarget } from '../../deploy/canary.ts'
import { type Plan, plan } from '../../deploy/plan.ts'
import type { DeploymentSpec } from '../../deploy/spec.ts'
import { keptOperations } from '../../deploy/state.ts'
import type { JsonObject, Place, Target } from '../../deploy/target.ts'
import { openCanary, openTarget } from '../../deploy/targets.ts'
import type { LoadedConfig } from '../config/node.ts'
import { FacetError } from '../errors.ts'
import { findDeployment } from './deployment.ts'
import { untilStopped } from './until-stopped.ts'

export interface OpenDeployment {
  readonly name: string
  readonly plan: Plan
  readonly target: Target<Plan>
  readonly canary: CanaryTarget
  /** Of facet.config.ts; `.facet/` lies there. */
  readonly folder: string
  /** Aborted by Ctrl+C and SIGTERM: whatever goes on can be taken up again. */
  readonly signal: AbortSignal
}

/** @throws FacetError invalid_request, where only a target is named and no file says the rest */
export async function withDeployment(
  word: string,
  file: string | undefined,
  run: (open: OpenDeployment) => Promise<void>,
): Promise<void> {
  const { name, spec, config } = await findDeployment(word, file)
  if (!config) {
    throw new FacetError(
      'invalid_request',
      `There is no deployment ${word}; write it under deployments in facet.config.ts.`,
    )
  }
  const planned = plan(name, spec as DeploymentSpec)
  const folder = dirname(config.file)
  const operations = keptOperations(folder, name)
  const place = toPlace(name, config)
  const target = await openTarget(planned, operations, place)
  const canary = await openCanary(planned, operations, place)
  await untilStopped((signal) => run({ name, plan: planned, target, canary, folder, signal }))
}

/** A gateway reaches what the file and other deployments name, but never itself, nor what only Node.js can. */
function toPlace(name: string, { file, config, deployed }: LoadedConfig): Place {
  const others = Object.entries(deployed).filter(
    ([own, endpoint]) => own !== name && endpoint.kubeContext === undefined,
  )
  const named = [
    ...Object.values(config.endpoints ?? {}).flatMap((one) => [
      'apiKeyEnv' in one ? one.apiKeyEnv : undefined,
      'credentialsEnv' in one ? one.credentialsEnv : undefined,
    ]),
    ...others.map(([, { keysEnv }]) => keysEnv),
  ]
  return {
    folder: dirname(file),
    config: file,
    deployed: JSON.parse(JSON.stringify(Object.fromEntries(others))) as JsonObject,
    variables: named.filter((one) => one !== undefined),
  }
}
