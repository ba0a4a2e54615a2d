import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../../src/config/node.ts'
import { takeLock } from '../../../src/file-lock.ts'
import { readTuned, type Tuned, writeTuned } from '../../../src/tune/home/tuned.ts'
import { temporary } from '../../convert/checkpoints.ts'
import { JSON_ADAPTER } from '../../engine/adapter-fixtures.ts'
import { collect } from '../../engine/collect.ts'
import { MODEL_DIRECTORY } from '../../engine/golden.ts'
import { refusal } from '../../pull/pulling.ts'

const ADAPTER: Tuned = {
  kind: 'adapter',
  directory: JSON_ADAPTER,
  base: 'google/gemma-2b',
  rank: 12,
  from: 'gs://runs/support/out/result',
  method: 'lora',
  steps: 30,
}

async function folderWith(config: string, tuned: Readonly<Record<string, Tuned>>): Promise<string> {
  const folder = await temporary()
  await writeFile(join(folder, 'facet.config.ts'), `export default ${config}\n`)
  for (const [name, one] of Object.entries(tuned)) await writeTuned(folder, name, one)
  return folder
}

describe('what was tuned', () => {
  it('is an adapter of a local endpoint by its name', async () => {
    const endpoint = `{ type: 'local', directory: '${MODEL_DIRECTORY}', adapters: { json: 'support' } }`
    const config = await loadConfig(
      await folderWith(`{ endpoints: { edge: ${endpoint} } }`, { support: ADAPTER }),
    )
    try {
      const backend = await config.backend('edge')
      const request = { messages: [{ role: 'user', content: 'list files' }], temperature: 0 } as const
      const { text } = await collect(backend, { ...request, model: 'facet-tldr-24m:json' })
      expect(text).toBe('{"command": "ls -lt"}')
    } finally {
      await config.close()
    }
  })

  it('is the model of a local endpoint by its name', async () => {
    const model: Tuned = { ...ADAPTER, kind: 'model', directory: MODEL_DIRECTORY }
    const folder = await folderWith(`{ endpoints: { edge: { type: 'local', directory: 'support' } } }`, {
      support: model,
    })
    const config = await loadConfig(folder)
    expect(config.config.endpoints?.edge).toMatchObject({ directory: MODEL_DIRECTORY })
  })

  it('is an adapter of a deployment by its name, with its bucket and room for its rank', async () => {
    const deployment = `{ target: 'gke-gpu', model: 'gemma-2b', project: 'my-project', region: 'us-central1', adapters: { help: { source: 'support' } } }`
    const folder = await folderWith(`{ deployments: { prod: ${deployment} } }`, { support: ADAPTER })
    const { config } = await loadConfig(folder)
    expect(config.deployments?.prod).toMatchObject({
      adapters: { help: { source: 'gs://runs/support/out/result', rank: 16 } },
    })
  })

  it.each([
    [
      `{ endpoints: { edge: { type: 'local', directory: 'support' } } }`,
      ADAPTER,
      /endpoints\.edge\.directory names support, which is an adapter for google\/gemma-2b; name it under adapters/,
    ],
    [
      `{ endpoints: { edge: { type: 'local', directory: './m', adapters: { a: 'support' } } } }`,
      { ...ADAPTER, kind: 'model' },
      /endpoints\.edge\.adapters\.a names support, which is a whole model; name it as directory\./,
    ],
    [
      `{ deployments: { prod: { target: 'gke-gpu', model: 'gemma-2b', project: 'my-project', region: 'us-central1', adapters: { a: { source: 'support' } } } } }`,
      { ...ADAPTER, from: '/home/ann/result' },
      /was tuned on this machine; copy .* to a bucket and give its gs:\/\/ address\./,
    ],
    ...[
      `{ endpoints: { edge: { type: 'local', directory: 'support' } } }`,
      `{ endpoints: { edge: { type: 'local', directory: './m', adapters: { a: 'support' } } } }`,
      `{ deployments: { prod: { target: 'gke-gpu', model: 'gemma-2b', project: 'my-project', region: 'us-central1', adapters: { a: { source: 'support' } } } } }`,
    ].map((config) => [
      config,
      { ...ADAPTER, kind: 'reward' },
      /names support, which is a reward model: it scores answers and does not chat; name it as rewardModel of a tuning\.$/,
    ]),
  ] as [string, Tuned, RegExp][])('is refused where it does not fit: %s', async (config, tuned, said) => {
    const { message } = await refusal(loadConfig(await folderWith(config, { support: tuned })))
    expect(message).toMatch(said)
  })

  it('is written down beside what was there, and a damaged list is told', async () => {
    const folder = await temporary()
    await writeTuned(folder, 'one', ADAPTER)
    await writeTuned(folder, 'two', { ...ADAPTER, steps: 60 })
    expect(Object.keys(await readTuned(folder))).toEqual(['one', 'two'])
    await mkdir(join(folder, '.facet'), { recursive: true })
    await writeFile(join(folder, '.facet/tuned.json'), '{"one": {"kind": "adapter"}}')
    expect((await refusal(readTuned(folder))).message).toMatch(
      /tuned\.json is damaged; delete it and run facet tune fetch again\.$/,
    )
  })
  it('is refused while another process writes the list, so that no name is lost', async () => {
    const folder = await temporary()
    await writeTuned(folder, 'one', ADAPTER)
    const list = join(folder, '.facet/tuned.json')
    await using _ = await takeLock(`${list}.lock`, 'writing')
    expect((await refusal(writeTuned(folder, 'two', ADAPTER))).code).toBe('unavailable')
    expect(Object.keys(await readTuned(folder))).toEqual(['one'])
  })
})
