/** What wrangler asks of Cloudflare for Facet's commands, without its process and its bundler, which take seconds. */
import { appendFile, copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { wrangler } from '../../../deploy/cloudflare/wrangler.ts'
import { FacetError } from '../../../src/errors.ts'

type Wrangler = typeof wrangler

interface Config {
  readonly name: string
  readonly compatibility_date: string
  readonly vars: Readonly<Record<string, string>>
  readonly limits: object
  readonly observability: object
}

export const quickWrangler: Wrangler = async (args, { folder, cloudflare, signal, told, input }) => {
  const api = `${cloudflare.baseURL}/accounts/${cloudflare.account}/workers`
  const ask = async (method: string, path: string, body?: string | FormData): Promise<unknown> => {
    // Whole, since a form that is left half sent fails where nobody looks.
    const sent = new Response(body ?? null)
    const bytes = new Uint8Array(await sent.arrayBuffer())
    const type = sent.headers.get('content-type')
    const headers = { authorization: `Bearer ${cloudflare.token}`, ...(type && { 'content-type': type }) }
    const response = await fetch(`${api}${path}`, { method, headers, signal, ...(body && { body: bytes }) })
    const { result, errors } = (await response.json()) as { result: unknown; errors: { message: string }[] }
    if (response.ok) return result
    throw new FacetError('unavailable', errors[0]!.message, { retry: 'never' })
  }
  if (args.includes('--dry-run')) {
    await mkdir(join(folder, 'out'), { recursive: true })
    await copyFile(join(folder, 'worker.js'), join(folder, 'out/worker.js'))
    return ''
  }
  if (args[0] === 'secret') {
    const name = args[args.indexOf('--name') + 1]
    await ask('PUT', `/scripts/${name}/secrets`, JSON.stringify({ name: args[2], text: input }))
    return ''
  }
  const config = JSON.parse(await readFile(join(folder, 'wrangler.json'), 'utf8')) as Config
  const { name, compatibility_date, vars, limits, observability } = config
  const form = async (): Promise<FormData> => {
    const bindings = Object.entries(vars).map(([own, text]) => ({ type: 'plain_text', name: own, text }))
    const parts = new FormData()
    const metadata = { main_module: 'worker.js', compatibility_date, bindings, limits, observability }
    parts.set('metadata', JSON.stringify(metadata))
    const type = 'application/javascript+module'
    parts.set('worker.js', new Blob([await readFile(join(folder, 'worker.js'))], { type }), 'worker.js')
    return parts
  }
  const isThere = (await ask('GET', `/scripts/${name}/settings`).catch(() => undefined)) !== undefined
  if (!isThere && args[0] === 'deploy') await ask('PUT', `/scripts/${name}`, await form())
  else {
    const { id } = (await ask('POST', `/scripts/${name}/versions`, await form())) as { readonly id: string }
    if (args[0] === 'versions') {
      await appendFile(join(folder, told), `${JSON.stringify({ type: 'version-upload', version_id: id })}\n`)
      return ''
    }
    const versions = [{ version_id: id, percentage: 100 }]
    await ask('POST', `/scripts/${name}/deployments`, JSON.stringify({ versions }))
    await ask('PATCH', `/scripts/${name}/script-settings`, JSON.stringify({ observability }))
  }
  await ask('POST', `/scripts/${name}/subdomain`, JSON.stringify({ enabled: true }))
  return ''
}
