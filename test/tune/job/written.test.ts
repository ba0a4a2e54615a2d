/** What is read of a run's folder while its job writes there. */
import { describe, expect, it } from 'vitest'
import { lastStep } from '../../../src/tune/job/metrics.ts'
import { readWritten } from '../../../src/tune/job/written.ts'

const line = (step: number): string => `{"facet":"step","step":${step},"steps":30,"loss":1}\n`

describe('what a run has written', () => {
  it.each([0, 1, 2])('is no end at a step before the last, where it ends after %i reads', async (reads) => {
    const files = new Map([['metrics.jsonl', line(12)]])
    let left = reads
    const passes = <T>(answer: () => T): Promise<T> => {
      if (left-- === 0) files.set('metrics.jsonl', line(30)).set('done.json', '{}')
      return Promise.resolve(answer())
    }
    const { steps, done } = await readWritten({
      text: (path) => passes(() => files.get(path)),
      list: () => passes(() => []),
    })
    if (done) expect(lastStep(steps)!.step).toBe(30)
    expect(done).toBe(reads === 0)
  })

  it('counts attempts that have begun and that crashed, of one launch or of all, and no file half written', async () => {
    const names = ['0001.json', '0001.crash.json', '0002.json', '0003.json.tmp']
    const listed: string[] = []
    const out = (prefix: string) => ({
      text: async () => undefined,
      list: async (folder: string) => {
        listed.push(folder)
        return names.map((name) => prefix + name)
      },
    })
    const attempts = { started: 2, crashed: 1 }
    expect(await readWritten(out(''), 'uid')).toEqual({ steps: [], done: false, attempts })
    expect(await readWritten(out('uid/'))).toEqual({ steps: [], done: false, attempts })
    expect(listed).toEqual(['attempts/uid', 'attempts'])
  })
})
