/** Opens Vertex AI and Cloud Storage for a tuning, signed in as whoever this process runs as. */
import { fromEnvironment } from '../../../deploy/environment.ts'
import { SignIn } from '../../../deploy/google/ask.ts'
import { Rest } from '../../../deploy/google/rest.ts'
import { peer } from '../../../deploy/peer.ts'
import { type ClientOptions, optionsOf } from '../../../deploy/vertex/open.ts'
import { applicationDefault } from '../../google/node.ts'
import { RunFolder } from './bucket.ts'
import { openStorage } from './gke-open.ts'
import type { JobPlan, Runner } from './job.ts'
import { VertexRunner } from './vertex-runner.ts'

/** @throws FacetError unsupported where @google-cloud/aiplatform is not installed */
export async function openVertex({ spec }: JobPlan): Promise<Runner> {
  const { v1 } = await peer(
    '@google-cloud/aiplatform',
    'Tuning on Vertex AI',
    () => import('@google-cloud/aiplatform'),
  )
  const tokens = await applicationDefault()
  const signIn = new SignIn(tokens)
  const options: ClientOptions = {
    apiEndpoint: `${spec.region}-aiplatform.googleapis.com`,
    ...optionsOf(signIn),
  }
  const storage = await openStorage()
  return new VertexRunner({
    jobs: new v1.JobServiceClient(options),
    rest: new Rest({ tokens }),
    asking: { signIn },
    folderOf: ({ folders }) => new RunFolder(storage, folders.root),
    secretOf: fromEnvironment,
  })
}
