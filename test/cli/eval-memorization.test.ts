/** `facet eval memorization` as people run it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import { type Served, serve } from '../../src/edge/entry/node.ts'
import { type Engine, loadEngine } from '../../src/engine/node.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { facet, withoutPackages } from './facet.ts'
import { said } from './in-process.ts'

const TRUTH = new URL('../golden/facet-tldr-24m-eval.json', import.meta.url)

let folder: string
let corpus: string
let engine: Engine
let server: Served
let made = 0
const fresh = (): string => join(folder, `run-${made++}`)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'facet-eval-memorization-'))
  const { train_documents, heldout_documents } = JSON.parse(await readFile(TRUTH, 'utf8'))
  const rows = [
    ...train_documents.slice(0, 6).map((text: string) => ({ text, category: 'trained' })),
    ...heldout_documents.slice(0, 6).map((text: string) => ({ text, category: 'held-out' })),
  ]
  corpus = join(folder, 'corpus.jsonl')
  await writeFile(corpus, rows.map((row) => JSON.stringify(row)).join('\n'))
  engine = await loadEngine(MODEL_DIRECTORY)
  server = await serve({ app: createEdge({ backends: [engine] }), port: 0 })
})
afterAll(async () => {
  await server.close(0)
  await engine.close()
  await rm(folder, { recursive: true })
})

const memorization = (...args: readonly string[]): Promise<string> =>
  said('eval', 'memorization', '--corpus', corpus, ...args)
const outcomesIn = async (out: string): Promise<Map<string, unknown>> => {
  const lines = (await readFile(join(out, 'samples.jsonl'), 'utf8')).trimEnd().split('\n')
  return new Map(
    lines.map((line) => JSON.parse(line)).map(({ id, answer, scores }) => [id, { answer, scores }]),
  )
}

describe('facet eval memorization', () => {
  it('tells a directory from a server alike, which is lent the tokenizer, and finds what is personal', async () => {
    const [here, there] = [fresh(), fresh()]
    const more = ['--samples', '4', '--personal-data', 'local']
    const ran = await facet(
      ['eval', 'memorization', '--corpus', corpus, '--model', MODEL_DIRECTORY, '--out', here].concat(more),
    )
    expect(ran.code).toBe(0)
    expect(ran.stdout).toMatch(/Memorization +exact +[\d.]+ +\[[\d.]+, [\d.]+\] +8\n/)
    expect(ran.stdout).toMatch(/Memorization +sensitive /)
    expect(await readFile(join(here, 'report.html'), 'utf8')).toContain('Memorization by part')
    const served = ['--url', `${server.url}/v1`, '--tokenizer', MODEL_DIRECTORY, '--out', there]
    await memorization(...served, ...more)
    expect(await outcomesIn(there)).toEqual(await outcomesIn(here))
    await expect(memorization(...served, '--samples', '3')).rejects.toThrow(/holds another run, with other/)
  })

  it.each<[string, readonly string[], string]>([
    [
      'a server without a tokenizer',
      [],
      "name a model directory with --model, or its tokenizer's with --tokenizer.",
    ],
    ['no tokenizer', ['--tokenizer', '/nowhere'], '/nowhere'],
    [
      'no project',
      ['--personal-data', 'google'],
      'Sensitive Data Protection is asked for a project; name it with --project.',
    ],
    ['no corpus', ['--corpus', 'none.jsonl'], 'none.jsonl is not there; give a corpus with --corpus.'],
  ])('says in one sentence what is wrong: %s', async (_, args, sentence) => {
    await expect(memorization('--url', `${server.url}/v1`, '--out', fresh(), ...args)).rejects.toThrow(
      sentence,
    )
  })

  it.each([
    [
      'local',
      'validator',
      'Finding personal data needs the packages validator and libphonenumber-js; run npm install validator libphonenumber-js.',
    ],
    [
      'local',
      'libphonenumber-js',
      'Finding personal data needs the packages validator and libphonenumber-js; run npm install validator libphonenumber-js.',
    ],
    [
      'google',
      '@google-cloud/dlp',
      'Sensitive Data Protection needs the package @google-cloud/dlp; run npm install @google-cloud/dlp.',
    ],
  ])(
    'says before anything is loaded which package %s detectors lack: %s',
    async (detector, name, sentence) => {
      const args = ['eval', 'memorization', '--corpus', corpus, '--model', MODEL_DIRECTORY, '--out', fresh()]
      const { code, stderr } = await facet([...args, '--personal-data', detector, '--project', 'p'], {
        node: withoutPackages(name),
        env: { GOOGLE_APPLICATION_CREDENTIALS: await credentials() },
      })
      expect(stderr).toBe(`facet: ${sentence}\n`)
      expect(code).toBe(1)
    },
  )
})

/** Of nobody; they are read, and never used. */
async function credentials(): Promise<string> {
  const file = join(folder, 'credentials.json')
  const user = { type: 'authorized_user', client_id: 'id', client_secret: 'secret', refresh_token: 'token' }
  await writeFile(file, JSON.stringify(user))
  return file
}
