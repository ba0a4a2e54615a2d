/** The docker program of this machine: asked as people ask it, with what it says told as sentences. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { isObject } from '../../check.ts'
import { abortedError, FacetError } from '../../errors.ts'

/** As far as it is looked at, of `docker container inspect`. */
export interface Container {
  readonly id: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  readonly status: 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'
  readonly exitCode: number
  /** The kernel ended it, as it took more memory than there was. */
  readonly outOfMemory: boolean
  /** What the daemon says of why it did not start. */
  readonly error: string
}

interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export class DockerCli {
  /** @throws FacetError unsupported where docker is missing, unavailable where its daemon does not answer */
  async check(signal: AbortSignal): Promise<void> {
    await this.#run(['version', '--format', '{{.Server.Version}}'], signal)
  }

  /** Undefined where there is no such container. */
  async container(name: string, signal: AbortSignal): Promise<Container | undefined> {
    const ran = await spawned(['container', 'inspect', name], signal)
    if (ran.status !== 0 && /no such container/i.test(ran.stderr)) return undefined
    if (ran.status !== 0) throw refused(ran)
    return toContainer(ran.stdout)
  }

  /**
   * Pulls the image where it is not here, and starts a container in the background.
   *
   * @param options of `docker run`, with image and command behind them
   * @param secrets environment variables of the container
   */
  async start(
    options: readonly string[],
    secrets: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    // Named only: what stands on a command line everybody on this machine may read.
    const named = Object.keys(secrets).map((name) => `--env=${name}`)
    await this.#run(['run', '--detach', ...named, ...options], signal, secrets)
  }

  /** Starts a container that has ended again. */
  async again(name: string, signal: AbortSignal): Promise<void> {
    await this.#run(['container', 'start', name], signal)
  }

  async stop(name: string, seconds: number, signal: AbortSignal): Promise<void> {
    await this.#run(['container', 'stop', '--time', String(seconds), name], signal)
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    await this.#run(['container', 'rm', '--force', name], signal)
  }

  /** What it has written to both of its outputs, the newest last. */
  async logs(name: string, lines: number, signal: AbortSignal): Promise<string[]> {
    const { stdout, stderr } = await this.#run(['container', 'logs', '--tail', String(lines), name], signal)
    return `${stdout}${stderr}`.split('\n').filter((line) => line !== '')
  }

  async #run(
    args: readonly string[],
    signal: AbortSignal,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Ran> {
    const ran = await spawned(args, signal, env)
    if (ran.status !== 0) throw refused(ran)
    return ran
  }
}

async function spawned(
  args: readonly string[],
  signal: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  if (signal.aborted) throw abortedError(signal)
  const child = spawn('docker', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    env: { ...process.env, ...env },
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(abortedError(signal))
      else reject(cause.code === 'ENOENT' ? notInstalled(cause) : cause)
    })
  })
  const [status, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  return { status, stdout, stderr }
}

function toContainer(stdout: string): Container {
  const [found] = JSON.parse(stdout) as unknown[]
  if (!isObject(found) || !isObject(found.State) || !isObject(found.Config)) throw notUnderstood()
  const { State, Config } = found
  const labels = isObject(Config.Labels) ? (Config.Labels as Record<string, string>) : {}
  return {
    id: String(found.Id),
    image: String(Config.Image),
    labels,
    status: State.Status as Container['status'],
    exitCode: Number(State.ExitCode),
    outOfMemory: State.OOMKilled === true,
    error: typeof State.Error === 'string' ? State.Error : '',
  }
}

function notInstalled(cause: unknown): FacetError {
  const says = 'docker is not installed on this machine; install Docker, or tune on gke or vertex.'
  return new FacetError('unsupported', says, { field: 'on', cause })
}

function notUnderstood(): FacetError {
  return new FacetError(
    'bad_response',
    'docker container inspect answers with something else than JSON of a container.',
  )
}

const REFUSALS: readonly (readonly [pattern: RegExp, says: string])[] = [
  [/cannot connect to the docker daemon/i, "Docker's daemon does not answer; start Docker."],
  [/permission denied while trying to connect/i, 'This user may not use Docker; add it to the group docker.'],
  [
    /could not select device driver .* \[\[gpu\]\]|nvidia-container-cli/i,
    'IMAGE: Docker gives its containers no GPU; install the NVIDIA driver and the NVIDIA Container Toolkit.',
  ],
  [
    /manifest (?:for \S+ not found|unknown)|pull access denied|repository does not exist/i,
    'IMAGE: the image cannot be pulled; check its name, or sign in to its registry with docker login.',
  ],
  [/no space left on device/i, "Docker's disk is full; free some with docker system prune, and start again."],
]

function refused({ status, stderr }: Ran): FacetError {
  const known = REFUSALS.find(([pattern]) => pattern.test(stderr))
  const last = stderr.trim().split('\n').at(-1) ?? ''
  const says = known?.[1] ?? `docker ended with status ${status}: ${last.replace(/\.?$/, '.')}`
  return new FacetError('unavailable', says, { retry: 'never' })
}
