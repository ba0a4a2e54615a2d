/** A cluster and a bucket in which tunings run, in this process: the steps of the cluster are the passing of time. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Rest } from '../../../deploy/google/rest.ts'
import type { Clock } from '../../../deploy/waiting.ts'
import { RunFolder } from '../../../src/tune/job/bucket.ts'
import { GkeRunner } from '../../../src/tune/job/gke-runner.ts'
import { readData } from '../../../src/tune/job/inputs.ts'
import type { JobInputs, JobPlan, Observation } from '../../../src/tune/job/job.ts'
import { plan } from '../../../src/tune/job/plan.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { watchJob } from '../../../src/tune/job/watch.ts'
import { kubeClient } from '../../deploy/k8s/api/client.ts'
import { startApi } from '../../deploy/k8s/api/server.ts'
import { Cluster } from '../../deploy/k8s/cluster/cluster.ts'
import { sft as plain, ROW } from '../job/specs.ts'
import { Batch, type BatchOptions } from './batch.ts'
import { FakeBucket } from './fake-bucket.ts'

const CALL_MS = 60_000

/** On spot machines. */
export const sft: TuneSpec = { ...plain, capacity: 'spot' }

export class World {
  readonly cluster: Cluster
  readonly bucket: FakeBucket
  readonly batch: Batch
  readonly folder: string
  readonly inputs: JobInputs

  private constructor(cluster: Cluster, bucket: FakeBucket, batch: Batch, folder: string) {
    this.cluster = cluster
    this.bucket = bucket
    this.batch = batch
    this.folder = folder
    this.inputs = {
      uploads: { 'train.jsonl': join(folder, 'train.jsonl') },
      scripts: { 'sft_trl.py': 'print("trains")\n' },
    }
  }

  static async open(options: BatchOptions, alone = false): Promise<World> {
    const bucket = await FakeBucket.open()
    const batch = new Batch(bucket, options)
    const cluster = new Cluster(await startApi(), { alone, controllers: batch })
    const folder = await mkdtemp(join(tmpdir(), 'facet-tuning-'))
    await writeFile(join(folder, 'train.jsonl'), ROW.repeat(40))
    return new World(cluster, bucket, batch, folder)
  }

  async plan(more: Partial<TuneSpec> = {}): Promise<JobPlan> {
    const spec = { ...sft, ...more }
    return plan('bees', spec, await readData(spec, this.folder))
  }

  /** As another process would. */
  runner(): GkeRunner {
    const rest = new Rest({
      tokens: { token: async () => 'token', refused: () => undefined },
      origins: { storage: this.bucket.url },
    })
    return new GkeRunner({
      client: kubeClient(this.cluster.api),
      folderOf: ({ folders }) => new RunFolder(rest, folders.root),
      secretOf: (variable) => `${variable}-value`,
    })
  }

  /** A wait between two looks is one step of the cluster, and takes no time. */
  clock(): Clock {
    let passedMs = 0
    const { cluster } = this
    return {
      now: () => passedMs,
      async sleep(ms, signal) {
        if (ms === CALL_MS)
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        else if (ms >= 1000) await cluster.step()
        signal.throwIfAborted()
        passedMs += ms
      },
    }
  }

  start(planned: JobPlan, by = 'ann@laptop'): ReturnType<GkeRunner['start']> {
    const { signal } = new AbortController()
    return this.runner().start(planned, this.inputs, { by, signal, clock: this.clock() })
  }

  observe(planned: JobPlan): Promise<Observation | undefined> {
    return this.runner().observe(planned, new AbortController().signal)
  }

  watch(planned: JobPlan, onLook?: (observation: Observation) => void): Promise<Observation> {
    const runner = this.runner()
    const { signal } = new AbortController()
    // Its own watches would race with the cluster's steps.
    const quiet = { ...bound(runner) }
    return watchJob(quiet, planned, { signal, clock: this.clock(), ...(onLook && { onLook }) })
  }

  stop(planned: JobPlan): ReturnType<GkeRunner['stop']> {
    const { signal } = new AbortController()
    return this.runner().stop(planned, { signal, clock: this.clock() })
  }

  async close(): Promise<void> {
    await this.cluster.close()
    await this.bucket.close()
    await rm(this.folder, { recursive: true })
  }
}

function bound(runner: GkeRunner): Parameters<typeof watchJob>[0] {
  return {
    want: (planned) => runner.want(planned),
    start: (...call) => runner.start(...call),
    observe: (...call) => runner.observe(...call),
    logs: (...call) => runner.logs(...call),
    stop: (...call) => runner.stop(...call),
  }
}
