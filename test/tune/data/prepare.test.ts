import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Disk, disk } from '../../../src/convert/output.ts'
import { FacetError } from '../../../src/errors.ts'
import { localDetector } from '../../../src/eval/personal-data-local.ts'
import { promptIds } from '../../../src/gemma/chat-template.ts'
import type { Judge } from '../../../src/guard/guard.ts'
import { randomFrom } from '../../../src/random.ts'
import { type PrepareOptions, prepareData } from '../../../src/tune/data/prepare.ts'
import { openSource } from '../../../src/tune/data/read/source.ts'
import type { Checks } from '../../../src/tune/data/sifter.ts'
import type { DataSettings } from '../../../src/tune/data/summary.ts'
import { readTunedModel, type TunedModel } from '../../../src/tune/data/template.ts'
import { toxicWords } from '../../../src/tune/data/toxic-words.ts'
import type { Message } from '../../../src/types.ts'
import { impatient } from '../../eval/fakes.ts'

const MODEL = fileURLToPath(new URL('../../../models/facet-tldr-24m', import.meta.url))
let folder: string
let model: TunedModel
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'facet-tune-data-'))
  model = await readTunedModel(MODEL)
})
afterAll(() => rm(folder, { recursive: true }))

interface Case {
  readonly rows?: readonly unknown[]
  /** By name, instead of rows. */
  readonly files?: Readonly<Record<string, string>>
  readonly checks?: Partial<Checks>
  readonly settings?: Partial<DataSettings>
  readonly options?: Partial<PrepareOptions>
}

let made = 0
async function prepared({ rows = [], files, checks, settings, options }: Case) {
  const dir = join(folder, `case-${made++}`)
  await mkdir(dir)
  const contents = files ?? { 'rows.jsonl': rows.map((row) => `${JSON.stringify(row)}\n`).join('') }
  const sources = []
  for (const [name, content] of Object.entries(contents)) {
    await writeFile(join(dir, name), content)
    sources.push({ ...(await openSource(join(dir, name))), file: name })
  }
  const out = join(dir, 'out')
  const given = { model, contextTokens: 2048, truncate: false, selfIdentification: true, ...checks }
  const { summary, report } = await prepareData({
    sources,
    out,
    checks: given,
    settings: {
      seed: 1,
      evalShare: 0.1,
      model: 'tiny',
      contextTokens: given.contextTokens,
      truncate: given.truncate,
      nearDuplicates: 0.8,
      skip: [],
      personalData: 'none',
      benchmarks: [],
      ...settings,
    },
    signal: new AbortController().signal,
    ...options,
  })
  const read = async (name: string) =>
    (await readFile(join(out, name), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  const [train, held, dropped] = await Promise.all(['train.jsonl', 'eval.jsonl', 'dropped.jsonl'].map(read))
  return { out, summary, report, train: train!, held: held!, dropped: dropped! }
}

const asked = (prompt: string, completion = 'It depends.') => ({ prompt, completion })
const random = randomFrom(3)
const words = (count: number): string =>
  Array.from({ length: count }, () => `w${Math.floor(random() * 1000)}`).join(' ')
const many = (count: number) => Array.from({ length: count }, () => asked(words(12), words(30)))
const reasonsOf = (dropped: readonly { reason: string }[]) => dropped.map(({ reason }) => reason)

describe('tuning data', () => {
  it('is what stays, split by the share, and everything else with its place and reason', async () => {
    const rows = [...many(40), asked('Who are you?', 'I am ChatGPT.'), asked('Say', ''), 'text']
    const { out, summary, train, held, dropped } = await prepared({ rows })
    expect(summary).toMatchObject({ rows: 43, kept: 40, train: { rows: 36 }, eval: { rows: 4 } })
    expect([train.length, held.length]).toEqual([36, 4])
    expect(dropped).toEqual([
      {
        file: 'rows.jsonl',
        line: 41,
        reason: 'self-identification',
        detail: 'it says that it is another model: "I am ChatGPT"',
        row: rows[40],
      },
      {
        file: 'rows.jsonl',
        line: 42,
        reason: 'empty',
        detail: 'message 2, of the assistant, is empty',
        row: rows[41],
      },
      { file: 'rows.jsonl', line: 43, reason: 'malformed', detail: 'it is no object', row: 'text' },
    ])
    expect((await readdir(out)).sort()).toEqual([
      'dropped.jsonl',
      'eval.jsonl',
      'report.html',
      'summary.json',
      'train.jsonl',
    ])
    expect(JSON.parse(await readFile(join(out, 'summary.json'), 'utf8'))).toEqual(summary)
    expect(await readFile(join(out, 'report.html'), 'utf8')).toMatch(
      /40 of 43 rows stay: 36 to train with, 4 to/,
    )
  })

  it('is the same bytes for the same rows and seed, and split otherwise with another', async () => {
    const rows = [...many(60), ...many(2).flatMap((row) => [row, row])]
    const bytesOf = async (seed: number) => {
      const { out } = await prepared({ rows, settings: { seed } })
      const names = ['train.jsonl', 'eval.jsonl', 'dropped.jsonl', 'summary.json', 'report.html']
      return Promise.all(names.map((name) => readFile(join(out, name), 'utf8')))
    }
    const [one, again, other] = [await bytesOf(5), await bytesOf(5), await bytesOf(6)]
    expect(again).toEqual(one)
    expect(other[1]).not.toBe(one[1])
    expect(other[2]).toBe(one[2])
  })

  it("has the tokens of Gemma's template in every length", async () => {
    const messages: Message[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: ' How do I list files? ' },
      { role: 'assistant', content: 'Use ls.' },
    ]
    const { summary, train } = await prepared({ rows: [{ messages }], settings: { evalShare: 0 } })
    expect(train[0].messages).toEqual([
      { role: 'user', content: 'Be brief.\n\nHow do I list files?' },
      { role: 'assistant', content: 'Use ls.' },
    ])
    const { tokenizer } = model
    const prompt = promptIds({ messages: messages.slice(0, 2) }, tokenizer, { bosId: 2 })
    const answer = [...tokenizer.encode('model\nUse ls.'), 0, ...tokenizer.encode('\n')]
    expect(summary.tokens.total).toBe(prompt.length - tokenizer.encode('model\n').length + answer.length)
  })

  it('leaves out rows over the context, and says how long they are', async () => {
    const rows = [asked('Short?'), asked('Long?', words(300))]
    const { dropped } = await prepared({ rows, checks: { contextTokens: 100 } })
    expect(dropped).toHaveLength(1)
    expect(dropped[0]).toMatchObject({ line: 2, reason: 'too-long' })
    expect(dropped[0].detail).toMatch(/^it has \d{3,4} tokens, and the context 100$/)
  })

  it('cuts them if told to: last exchanges first, then the end of an answer, never a question', async () => {
    const turns = ['Hi there', 'Hello', 'And now?', words(200)]
    const messages = turns.map((content, at) => ({ role: at % 2 === 0 ? 'user' : 'assistant', content }))
    const rows = [{ messages }, asked('Tell me', `${words(200)} 🎉🎉`), asked(words(200), 'No.')]
    const { summary, train, dropped } = await prepared({
      rows,
      checks: { contextTokens: 80, truncate: true },
      settings: { evalShare: 0 },
    })
    expect(train[0].messages.map(({ content }: Message) => content)).toEqual(turns.slice(0, 2))
    expect(rows[1]).toMatchObject({ completion: expect.stringContaining(train[1].messages[1].content) })
    expect(summary).toMatchObject({ kept: 2, truncated: 2 })
    expect(summary.tokens.max).toBeLessThanOrEqual(80)
    expect(summary.tokens.max).toBeGreaterThan(70)
    expect(reasonsOf(dropped)).toEqual(['too-long'])
  })

  it('has neither duplicates nor near duplicates, also of another file', async () => {
    const [row] = many(1)
    const near = { ...row, completion: `${row!.completion} indeed` }
    const files = {
      'a.jsonl': JSON.stringify(row),
      'b.jsonl': `${JSON.stringify(row)}\n${JSON.stringify(near)}`,
    }
    const { dropped } = await prepared({ files })
    expect(dropped).toMatchObject([
      { file: 'b.jsonl', line: 1, reason: 'duplicate', detail: 'it is the same as a.jsonl, line 1' },
      { file: 'b.jsonl', line: 2, reason: 'near-duplicate' },
    ])
    expect(dropped[1].detail).toMatch(/^\d\d% of it is as in a\.jsonl, line 1$/)
  })

  it('has rows without any word, unless they are the same', async () => {
    const { dropped } = await prepared({ rows: [asked('🙂?', '🎉!'), asked('👋', '🎉'), asked('👋', '🎉')] })
    expect(dropped).toMatchObject([{ line: 3, reason: 'duplicate' }])
  })

  it('keeps near duplicates on one side where they are to stay, and answers to the same question', async () => {
    const families = many(30).map(({ prompt, completion }) =>
      [0, 1, 2].map((at) => asked(`${prompt} ${at}`, `${completion} w${at}`)),
    )
    const same = many(20).map(({ prompt }) => [asked(prompt, words(30)), asked(prompt, words(30))])
    const rows = [...families, ...same].flat()
    const { train, held, dropped } = await prepared({
      rows,
      settings: { skip: ['near-duplicate'], evalShare: 0.3 },
    })
    expect(dropped).toEqual([])
    expect(held.length).toBeGreaterThan(30)
    const keyOf = ({ messages }: { messages: readonly Message[] }) => messages[0]!.content.slice(0, 40)
    const inTrain = new Set(train.map(keyOf))
    expect(held.filter((row) => inTrain.has(keyOf(row)))).toEqual([])
  })

  it('has nothing to evaluate with where all rows belong together, and says so', async () => {
    const rows = [asked('Why?', 'Because.'), asked('Why?', 'Who knows what it was?')]
    const { report, train, held } = await prepared({ rows })
    expect([train.length, held.length]).toEqual([2, 0])
    expect(report.warnings[0]).toMatch(/^Nothing is left to evaluate with/)
  })

  it('holds no personal data and no toxic words, in question or answer', async () => {
    const rows = [
      asked('Mail jane.doe@mail.example.org'),
      asked('Insult me', 'You fuuucking idiot'),
      asked('What is Scunthorpe?'),
    ]
    const checks = { detector: await localDetector(), toxic: await toxicWords() }
    const { dropped } = await prepared({ rows, checks })
    expect(dropped.map(({ line, reason, detail }) => [line, reason, detail])).toEqual([
      [1, 'personal-data', 'it holds EMAIL_ADDRESS'],
      [2, 'toxic', 'it says fuck'],
    ])
  })

  it('is judged, answer by answer, but for duplicates; in the order of the rows', async () => {
    const shown: string[] = []
    const judge: Judge = async ({ question, answer }) => {
      shown.push(`${question} | ${answer}`)
      // Later rows are answered first.
      for (let turn = shown.length; turn < 40; turn++) await Promise.resolve()
      return answer === 'bad'
        ? { allowed: false, policy: 'No Harassment', probability: 0.9 }
        : { allowed: true }
    }
    const messages = ['a', 'fine', 'b', 'bad'].map((content, at) => ({
      role: at % 2 === 0 ? 'user' : 'assistant',
      content,
    }))
    const rows = [{ messages }, ...many(3)]
    const { dropped, train, held } = await prepared({ rows, checks: { judge } })
    expect(shown.slice(0, 2)).toContain('a | fine')
    expect(shown).toContain('a\n\nfine\n\nb | bad')
    expect(dropped).toMatchObject([
      { line: 1, reason: 'unsafe', detail: 'answer 2 violates No Harassment (0.90)' },
    ])
    expect(train.length + held.length).toBe(3)
  })

  it('is judged by a judge who fails half the time, a few rows at a time', async () => {
    const seen = new Set<string>()
    let [now, most] = [0, 0]
    const judge: Judge = async ({ question }) => {
      most = Math.max(most, ++now)
      await Promise.resolve()
      now--
      if (seen.has(question)) return { allowed: true }
      seen.add(question)
      throw new FacetError('rate_limited', 'Too much.', { retryAfterMs: 5000 })
    }
    const { summary } = await prepared({ rows: many(50), checks: { judge }, options: { clock: impatient() } })
    expect(summary.kept).toBe(50)
    expect(most).toBeLessThanOrEqual(8)
  })

  it('is not made where a judge fails, and nothing is left behind', async () => {
    const judge: Judge = () => Promise.reject(new FacetError('unavailable', 'The guard is down.'))
    const options = { clock: impatient() }
    await expect(prepared({ rows: many(2), checks: { judge }, options })).rejects.toThrow(
      'The guard is down.',
    )
    expect(await readdir(join(folder, `case-${made - 1}`))).toEqual(['rows.jsonl'])
  })

  it('is said not to be there when nothing is left', async () => {
    const rows = [asked('Who?', 'I am Claude.'), asked('', 'x'), asked('Who else?', 'I am Bard.')]
    await expect(prepared({ rows })).rejects.toThrow(
      'None of the 3 rows is left (1 empty turn, 2 calls itself another model); the first of them is rows.jsonl, line 1: it says that it is another model: "I am Claude".',
    )
  })

  it('is not made of a file without rows', async () => {
    await expect(prepared({ files: { 'a.csv': 'prompt,completion\n' } })).rejects.toThrow(
      'a.csv has no rows; leave it out.',
    )
  })

  it('does not take the place of what is there', async () => {
    const out = join(folder, 'taken')
    await mkdir(out)
    await writeFile(join(out, 'mine'), '')
    await expect(prepared({ rows: many(2), options: { out } })).rejects.toThrow(
      `${out} is not empty; choose another folder with --out.`,
    )
    await expect(prepared({ rows: many(2), options: { out: join(out, 'mine') } })).rejects.toThrow(
      'is no folder;',
    )
    expect(await readdir(out)).toEqual(['mine'])
  })

  it.each(['dropped.jsonl', 'kept.jsonl', 'train.jsonl', 'report.html'])(
    'is gone when the disk runs full at %s',
    async (file) => {
      const full: Disk = {
        ...disk,
        async create(path) {
          const handle = await disk.create(path)
          if (!path.endsWith(file)) return handle
          const write = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
          return { write, sync: () => handle.sync(), close: () => handle.close() }
        },
      }
      const rows = [...many(4), 'none']
      await expect(prepared({ rows, options: { disk: full } })).rejects.toThrow(
        'does not fit on its disk; nothing was left behind, so free some space or choose another place.',
      )
      expect(await readdir(join(folder, `case-${made - 1}`))).toEqual(['rows.jsonl'])
    },
  )

  it('ends when it is told to', async () => {
    const signal = AbortSignal.abort()
    await expect(prepared({ rows: many(2), options: { signal } })).rejects.toMatchObject({ code: 'aborted' })
  })

  it('says how far it is in bytes', async () => {
    const seen: number[] = []
    const onProgress = (progress: { doneBytes: number; totalBytes: number }) =>
      void seen.push(progress.doneBytes / progress.totalBytes)
    await prepared({ rows: many(3), options: { onProgress } })
    expect(seen.at(-1)).toBe(1)
  })
})
