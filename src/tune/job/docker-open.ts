/** Opens this machine's Docker for a tuning. */
import { fromEnvironment } from '../../../deploy/environment.ts'
import { DockerRunner } from './docker.ts'
import { DockerCli } from './docker-cli.ts'
import type { Runner } from './job.ts'

export async function openDocker(folder: string): Promise<Runner> {
  return new DockerRunner({ docker: new DockerCli(), folder, secretOf: fromEnvironment })
}
