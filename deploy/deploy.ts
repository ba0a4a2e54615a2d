/** `gemfacet/deploy`: plans deployments, tells why one does not answer, and says what each place is sent. */
export { CAUSES, type Cause, type CauseName, type Finding, type Signal } from './cause.ts'
export type { CpuPlan } from './edge-plan.ts'
export { MODEL_IDS, type Model, modelOf } from './models.ts'
export { type AcceleratedPlan, type Cost, dollarsPerHour, type Plan, plan } from './plan.ts'
export { ACCELERATORS, type Accelerator, type AcceleratorName, accelerator } from './profiles.ts'
export { toJson, toMarkdown, toText } from './report.ts'
export type { DeploymentSpec } from './spec.ts'
export { type Action, diff, type Resource, TARGETS, type Target, type TargetName } from './target.ts'
