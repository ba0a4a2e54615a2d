/** Where a job finds its files: the same folders under the names that each place gives them. */
import type { JobPaths } from './settings.ts'
import type { TunePlace, TuneSpec } from './spec.ts'

/** Where the run's own folder is mounted. */
export const RUN_PATH = '/run-folder'
/** Where the scripts and job.json lie. */
export const JOB_PATH = '/job'

/** A place outside the run's folder that is mounted for reading. */
export interface Input {
  /** Of the volume: a DNS label. */
  readonly name: 'train' | 'eval' | 'start' | 'reward'
  /** `gs://…`, or a folder on this machine. */
  readonly from: string
  /** Inside the job. */
  readonly path: string
}

/** What the job reads that is not in its own folder. */
export function inputsOf(spec: TuneSpec): readonly Input[] {
  const { data, evalData, startFrom, rewardModel } = spec
  const files = [
    { name: 'train', from: data },
    { name: 'eval', from: evalData },
  ] as const
  const folders = [
    { name: 'start', from: startFrom },
    { name: 'reward', from: rewardModel },
  ] as const
  return [
    ...files.flatMap(({ name, from }) =>
      from?.startsWith('gs://') ? [{ name, from, path: inputPath(spec.on, name, from) }] : [],
    ),
    ...folders.flatMap(({ name, from }) =>
      from === undefined ? [] : [{ name, from, path: inputPath(spec.on, name, from) }],
    ),
  ]
}

/** @param root of the run: `gs://…`, or a folder */
export function toPaths(spec: TuneSpec, root: string): JobPaths {
  const own = runPath(spec.on, root)
  const inputs = inputsOf(spec)
  const pathOf = (name: Input['name']): string | undefined =>
    inputs.find((input) => input.name === name)?.path
  const [startFrom, rewardModel] = [pathOf('start'), pathOf('reward')]
  return {
    train: pathOf('train') ?? `${own}/data/train.jsonl`,
    ...(spec.evalData !== undefined && { eval: pathOf('eval') ?? `${own}/data/eval.jsonl` }),
    out: `${own}/out`,
    ...(startFrom !== undefined && { startFrom }),
    ...(rewardModel !== undefined && { rewardModel }),
  }
}

function runPath(on: TunePlace, root: string): string {
  return on === 'vertex' ? toVertex(root) : RUN_PATH
}

function inputPath(on: TunePlace, name: Input['name'], from: string): string {
  if (on === 'vertex') return toVertex(from)
  const mount = `/inputs/${name}`
  return name === 'start' || name === 'reward' ? mount : `${mount}/${from.slice(from.lastIndexOf('/') + 1)}`
}

/** Vertex AI mounts every bucket by itself, below /gcs. */
export const toVertex = (uri: string): string => uri.replace(/^gs:\//, '/gcs').replace(/\/+$/, '')
