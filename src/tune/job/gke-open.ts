/** Opens GKE and Cloud Storage for a tuning, signed in as whoever this process runs as. */
import { fromEnvironment } from '../../../deploy/environment.ts'
import { Rest } from '../../../deploy/google/rest.ts'
import { KubeClient } from '../../../deploy/k8s/client.ts'
import { loadKubeConfig, useContext } from '../../../deploy/k8s/kubeconfig.ts'
import { applicationDefault } from '../../google/node.ts'
import type { TokenSource } from '../../types.ts'
import { RunFolder } from './bucket.ts'
import { GkeRunner } from './gke-runner.ts'
import type { JobPlan, Runner } from './job.ts'

const DEFAULT_CLUSTER = 'facet'

/** @throws FacetError unsupported without @kubernetes/client-node; unauthorized without the cluster's context */
export async function openGke({ spec }: JobPlan): Promise<Runner> {
  const config = await loadKubeConfig()
  useContext(config, `gke_${spec.project}_${spec.region}_${spec.cluster ?? DEFAULT_CLUSTER}`)
  const onWarning = (warning: string): void => void process.stderr.write(`Warning: ${warning}\n`)
  const rest = await openStorage()
  return new GkeRunner({
    client: new KubeClient({ config, onWarning }),
    folderOf: ({ folders }) => new RunFolder(rest, folders.root),
    secretOf: fromEnvironment,
  })
}

/** An emulator is asked instead where STORAGE_EMULATOR_HOST names one, as Google's own clients do. */
export async function openStorage(): Promise<Rest> {
  const emulator = process.env.STORAGE_EMULATOR_HOST
  if (emulator === undefined || emulator === '') return new Rest({ tokens: await applicationDefault() })
  return new Rest({ tokens: NOBODY, origins: { storage: emulator } })
}

/** Emulators ask nobody who they are. */
const NOBODY: TokenSource = { token: async () => 'emulator', refused: () => undefined }
