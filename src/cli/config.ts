/** `facet config check`: whether facet.config.ts holds, and what it describes. */
import { Command } from 'commander'
import type { EndpointConfig, FacetConfig } from '../config/config.ts'
import { type LoadedConfig, loadConfig } from '../config/node.ts'
import { FacetError } from '../errors.ts'
import type { Backend } from '../types.ts'

export function command(): Command {
  const check = new Command('check')
    .description(
      'Check the file, and the environment variables it names, and list its endpoints and tunings. Asks no server.',
    )
    .argument('[file]', 'the file, or its folder (default: facet.config.ts)')
    .action(async (file: string | undefined) => {
      const loaded = await loadConfig(file)
      // Makes every client but loads no model: a variable that is missing shows here.
      const { config, deployed } = loaded
      const deployments = config.deployments ?? {}
      for (const [name, { kind, on }] of Object.entries(config.tunings ?? {}))
        process.stdout.write(`${name.padEnd(16)} tuning    ${kind} on ${on}\n`)
      // A file may be there for tunings alone.
      if ([config.endpoints, deployments, deployed].every((one) => Object.keys(one ?? {}).length === 0))
        return
      const coming = Object.fromEntries(Object.keys(deployments).map((name) => [name, NOT_YET]))
      const { health } = await loaded.router({
        local: async ({ directory }) => unloaded(directory),
        deployed: { ...coming, ...deployed },
      })
      const names = [...health().keys()].map(({ name }) => name)
      process.stdout.write(names.map((name) => lineOf(name, loaded)).join(''))
    })
  return new Command().description('Check facet.config.ts.').addCommand(check)
}

/** Stands for the address of what `facet up` has not made. */
const NOT_YET = { baseURL: 'http://deployment.invalid/v1' }

function lineOf(name: string, { config, deployed }: LoadedConfig): string {
  const endpoint = config.endpoints?.[name] ?? { type: 'deployed' }
  const target = config.deployments?.[name]?.target
  const place = placeOf(endpoint) ?? deployed[name]?.baseURL ?? `not deployed yet, target ${target}`
  const facts = [
    endpoint.model ?? deployed[name]?.model,
    endpoint.tier !== undefined && `tier ${endpoint.tier}`,
    variableOf(endpoint),
  ].filter(Boolean)
  return `${name.padEnd(16)} ${endpoint.type.padEnd(9)} ${place}${facts.length ? ` (${facts.join(', ')})` : ''}\n`
}

function placeOf(endpoint: EndpointConfig): string | undefined {
  switch (endpoint.type) {
    case 'http':
      return endpoint.baseURL
    case 'vertex':
      return endpoint.endpoint.name
    case 'gemini':
      return `${endpoint.project}, ${endpoint.location}`
    case 'local':
      return endpoint.directory
    case 'deployed':
      return undefined
  }
}

function variableOf(endpoint: NonNullable<FacetConfig['endpoints']>[string]): string | undefined {
  const name =
    'apiKeyEnv' in endpoint
      ? endpoint.apiKeyEnv
      : 'credentialsEnv' in endpoint
        ? endpoint.credentialsEnv
        : undefined
  return name && `key in ${name}`
}

function unloaded(directory: string): Backend {
  return {
    name: directory,
    model: { id: directory },
    chat: () => {
      throw new FacetError('unavailable', `The model in ${directory} is not loaded.`)
    },
  }
}
