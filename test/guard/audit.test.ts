/** The audit log of guards, in memory and as a rotated file, and policies as data. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { AuditFile } from '../../src/guard/audit-file.ts'
import {
  type AuditRecord,
  audit,
  DEFAULT_POLICIES,
  inputGuard,
  type Judge,
  outputGuard,
  toPolicies,
} from '../../src/guard/guard.ts'
import type { Backend } from '../../src/types.ts'
import { FakeBackend } from '../edge/fake-backend.ts'
import { HELLO } from '../edge/http.ts'
import { collect } from '../engine/collect.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'facet-audit-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const KEY = new Uint8Array(32).fill(7)
const QUESTION = HELLO.messages![0]!.content

/** What a guard's audit holds once a question was asked, or refused. */
async function audited(
  judge: Judge,
  more: { texts?: boolean; onFailure?: 'open' } = {},
): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  const { texts = false, ...options } = more
  let told: () => void
  const written = new Promise<void>((resolve) => {
    told = resolve
  })
  const write = (record: AuditRecord): void => {
    records.push(record)
    told()
  }
  const onJudgement = audit({ key: KEY, write, texts, now: () => Date.UTC(2026, 0, 2) })
  const backend: Backend = inputGuard({ judge, onJudgement, ...options })(new FakeBackend())
  await collect(backend, HELLO)
  await written
  return records
}

const refusing: Judge = async () => ({ allowed: false, policy: 'No Words', probability: 0.93 })

describe('an audit', () => {
  it('keeps who decided what and how surely, and a hash instead of the text', async () => {
    const [record] = await audited(refusing)
    expect(record).toEqual({
      time: '2026-01-02T00:00:00.000Z',
      side: 'input',
      decision: 'refused',
      policy: 'No Words',
      score: 0.93,
      hash: expect.stringMatching(/^[0-9a-f]{32}$/),
      characters: QUESTION.length,
    })
    expect(JSON.stringify(record)).not.toContain(QUESTION)
  })

  it('has the same hash for the same text under the same key, and another under another', async () => {
    const [one] = await audited(refusing)
    const [two] = await audited(refusing)
    expect(two!.hash).toBe(one!.hash)
    const records: AuditRecord[] = []
    await new Promise<void>((resolve) => {
      const write = (record: AuditRecord): void => {
        records.push(record)
        resolve()
      }
      audit({ key: new Uint8Array(32), write })({ side: 'input', passed: true }, { question: QUESTION })
    })
    expect(records[0]!.hash).not.toBe(one!.hash)
  })

  it('keeps texts only where it is told to', async () => {
    expect(await audited(refusing, { texts: true })).toMatchObject([{ question: QUESTION }])
  })

  it('says what could not be judged, and what became of it', async () => {
    const failing: Judge = async () => {
      throw new FacetError('unavailable', 'The judge is down.')
    }
    expect(await audited(failing, { onFailure: 'open' })).toMatchObject([
      { decision: 'passed', error: 'unavailable' },
    ])
  })

  it('records windows of an answer in their order', async () => {
    const records: AuditRecord[] = []
    let calls = 0
    const judge: Judge = async () => ({ allowed: true, policy: `p${++calls}`, probability: 0 })
    const onJudgement = audit({ key: KEY, write: (record) => records.push(record) })
    const backend = outputGuard({ judge, onJudgement, windowCharacters: 1 })(new FakeBackend())
    await collect(backend, HELLO)
    await expect.poll(() => records.length).toBe(calls)
    expect(records.map(({ policy }) => policy)).toEqual(records.map((_, index) => `p${index + 1}`))
  })
})

describe('an audit file', () => {
  const record = (hash: string): AuditRecord => ({
    time: '2026-01-02T00:00:00.000Z',
    side: 'input',
    decision: 'passed',
    hash,
    characters: 1,
  })
  const path = (): string => join(folder, 'audit.jsonl')

  it('holds a line for each record, for its owner alone, and goes on after a restart', async () => {
    const first = await AuditFile.open(path())
    await Promise.all(['a', 'b'].map((hash) => first.append(record(hash))))
    const second = await AuditFile.open(path())
    expect(second.key).toEqual(first.key)
    await second.append(record('c'))
    const lines = readFileSync(path(), 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).hash)).toEqual(['a', 'b', 'c'])
    for (const file of [path(), `${path()}.key`]) expect(statSync(file).mode & 0o077).toBe(0)
  })

  it('is rotated before it is too long, keeps so many, and loses none of those', async () => {
    const file = await AuditFile.open(path(), { mostBytes: 250, keep: 2 })
    for (let number = 0; number < 10; number++) await file.append(record(`${number}`))
    expect(readdirSync(folder).sort()).toEqual([
      'audit.jsonl',
      'audit.jsonl.1',
      'audit.jsonl.2',
      'audit.jsonl.key',
    ])
    const hashes = ['.2', '.1', ''].flatMap((end) =>
      readFileSync(path() + end, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).hash),
    )
    expect(hashes).toEqual(['4', '5', '6', '7', '8', '9'])
    for (const end of ['.2', '.1', '']) expect(statSync(path() + end).size).toBeLessThanOrEqual(250)
  })

  it('says at once that it cannot be written, or that its key is none', async () => {
    await expect(AuditFile.open(join(folder, 'none', 'audit.jsonl'))).rejects.toThrow(
      /^The audit log .* cannot be written \(ENOENT\); check its folder and disk\.$/,
    )
    writeFileSync(`${path()}.key`, 'short')
    chmodSync(`${path()}.key`, 0o600)
    await expect(AuditFile.open(path())).rejects.toThrow(/is no key of an audit log; remove it/)
  })
})

describe('policies as data', () => {
  it('are what the judge takes', () => {
    expect(toPolicies(JSON.stringify(DEFAULT_POLICIES), 'p.json')).toEqual(DEFAULT_POLICIES)
    const [own] = toPolicies(
      '[{"name": "No Spoilers", "rule": "tell how it ends.", "threshold": 0.8}]',
      'p.json',
    )
    expect(own).toEqual({ name: 'No Spoilers', rule: 'tell how it ends.', threshold: 0.8 })
  })

  it.each([
    ['nonsense', 'p.json: It is not JSON.'],
    ['{}', /p\.json: .* must be a list/],
    ['[]', /must not be empty: a guard without policies lets everything through/],
    ['[{"name": "A"}]', /\[0\] lacks rule, which is required/],
    ['[{"name": "A", "rule": "b", "treshold": 1}]', /treshold is not known; did you mean threshold\?/],
    ['[{"name": "A", "rule": "b", "threshold": 2}]', /threshold must be a number from 0 to 1, but is 2\./],
    ['[{"name": "A", "rule": "b"}, {"name": "A", "rule": "c"}]', /\[1\]\.name is that of policy 1, too/],
  ])('refuse %s', (text, sentence) => {
    expect(() => toPolicies(text, 'p.json')).toThrow(sentence)
  })

  it('take any text without an error of their own', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          toPolicies(text, 'p.json')
        } catch (error) {
          expect(error).toBeInstanceOf(FacetError)
        }
      }),
    )
  })
})
