/** Tunings as facet.config.ts has them, and what is known of their data. */
import type { JobData } from '../../../src/tune/job/job.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'

/** A line of data that the script of sft can read. */
export const ROW = '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}\n'

export const sft: TuneSpec = {
  kind: 'sft',
  on: 'gke',
  model: 'google/gemma-2b',
  data: 'train.jsonl',
  bucket: 'gs://my-bucket/tunings',
  project: 'my-project',
  region: 'us-central1',
}

export const reward: TuneSpec = { ...sft, kind: 'reward' }

export const rlhf: TuneSpec = {
  ...sft,
  kind: 'rlhf',
  startFrom: 'gs://my-bucket/tunings/bees-1/out/result',
  rewardModel: 'gs://my-bucket/tunings/judge-1/out/result',
}

/** Over the hosts of a slice. */
export const slice: TuneSpec = {
  ...sft,
  model: 'gemma-7b',
  with: 'maxtext',
  method: 'full',
  accelerator: 'tpu-v5e',
}

export const data: JobData = {
  train: { from: 'train.jsonl', sha256: 'a'.repeat(64), sizeBytes: 4_000_000, rows: 2000 },
}
