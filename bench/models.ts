/** The models that are measured: made once, then kept. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type SynthName, synthesize } from '../src/convert/synth.ts'
import { configFrom, type GemmaConfig } from '../src/gemma/config.ts'
import { DATA_FILE, MANIFEST_FILE, parseManifest } from '../src/gemma/manifest.ts'
import { planMemory } from '../src/gemma/memory-plan.ts'
import { writeGguf } from './gguf.ts'
import type { ModelFacts } from './results.ts'

const BENCH: string = fileURLToPath(new URL('.', import.meta.url))

export interface BenchModel {
  readonly directory: string
  /** The data file: nearly all of the bytes. */
  readonly data: string
  readonly config: GemmaConfig
  readonly facts: ModelFacts
  /** The same shape for llama.cpp. */
  gguf(): string
}

/** Where models are kept unless said otherwise; git ignores it. */
export const CACHE: string = join(BENCH, '.cache')

/** @param say is told before anything that takes long */
export async function benchModel(
  name: SynthName,
  cache: string,
  say: (text: string) => void,
): Promise<BenchModel> {
  const directory = join(cache, name)
  mkdirSync(cache, { recursive: true })
  if (!existsSync(join(directory, MANIFEST_FILE))) {
    say(`writing ${name} with random weights to ${cache}`)
    await synthesize(name, directory)
  }
  const json = (file: string): unknown => JSON.parse(readFileSync(join(directory, file), 'utf8'))
  const config = configFrom(json('config.json'))
  const { parameters, quantization, files } = parseManifest(json(MANIFEST_FILE))
  return {
    directory,
    data: join(directory, DATA_FILE),
    config,
    facts: {
      name,
      parameters,
      quantization: `int${quantization!.bits}, blocks of ${quantization!.blockSize}, random weights`,
      fileBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      weightBytes: planMemory(config, { quantization }).weights.total,
    },
    gguf: () => {
      const path = join(cache, `${name}.gguf`)
      if (!existsSync(path)) {
        say(`writing ${name} as GGUF to ${cache}`)
        writeGguf(path, config)
      }
      return path
    },
  }
}

/** What bench/ pins. */
export function peerVersions(): Readonly<Record<string, string>> {
  return JSON.parse(readFileSync(join(BENCH, 'package.json'), 'utf8')).dependencies
}

/** What Facet's own package.json pins of these packages. */
export function ownVersions(names: readonly string[]): Readonly<Record<string, string>> {
  const { devDependencies } = JSON.parse(readFileSync(join(BENCH, '..', 'package.json'), 'utf8'))
  return Object.fromEntries(names.map((name) => [name, devDependencies[name]]))
}

/**
 * Installs the peers beside this file, where they are not yet; what npm says goes to standard error. Not with
 * `npm ci`: a registry that lacks the binaries of some other platform leaves them out of the lock, and then it
 * refuses.
 */
export function installPeers(say: (text: string) => void): void {
  if (existsSync(join(BENCH, 'node_modules', '.package-lock.json'))) return
  say('installing the peers in bench/ (once; about 900 MB)')
  execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund'], {
    cwd: BENCH,
    stdio: ['ignore', 2, 2],
  })
}
