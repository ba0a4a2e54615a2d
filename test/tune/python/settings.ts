/** job.json as Facet writes it, for a folder that holds everything. */
import type { JsonObject } from '../../../deploy/target.ts'
import { chooseHyperparameters, toSettings } from '../../../src/tune/job/settings.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'

export const SFT: TuneSpec = {
  kind: 'sft',
  on: 'local-docker',
  model: 'google/gemma-2b-it',
  data: 'train.jsonl',
  lora: { modules: ['q_proj', 'v_proj'] },
  hyperparameters: { gradientAccumulation: 2, batchSize: 2, saveEverySteps: 2 },
}

export function settingsIn(folder: string, spec: TuneSpec = SFT): JsonObject {
  const settings = toSettings({
    spec,
    repository: spec.model,
    framework: spec.with ?? 'trl',
    hyperparameters: chooseHyperparameters(spec, 8192),
    paths: { train: `${folder}/train.jsonl`, eval: `${folder}/eval.jsonl`, out: `${folder}/out` },
    sharding: { data: 1, fsdp: 1, tensor: 1 },
    hosts: 1,
  })
  return { ...settings, run: 'support-1a2b3c4d' }
}
