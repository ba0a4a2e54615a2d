import { describe, expect, it } from 'vitest'
import { Row } from '../../../src/eval/row.ts'
import { taskNamed } from '../../../src/eval/tasks/tasks.ts'
import { Benchmarks } from '../../../src/tune/data/leakage.ts'
import { wordHashes } from '../../../src/tune/data/words.ts'

const QUESTION =
  'A baker has 12 trays of 9 rolls each and sells all but 7 of them before noon. How many rolls are sold?'
const benchmarksOf = (...questions: readonly string[]) => {
  const rows = questions.map(
    (question, at) => new Row({ question, answer: 'So.\n#### 1' }, { file: 'x.jsonl', line: at + 1 }),
  )
  return new Benchmarks([{ task: taskNamed('gsm8k'), data: { rows, shots: [], preamble: [], files: [] } }])
}
const leak = (benchmarks: Benchmarks, text: string) => benchmarks.leakIn(wordHashes(text))

describe('a question of a benchmark', () => {
  it('is found in a row that holds 13 words of it in a row, whatever their case and punctuation', () => {
    const benchmarks = benchmarksOf(
      'Another one entirely, with as many words as are needed to count at all?',
      QUESTION,
    )
    const part = QUESTION.toUpperCase().replaceAll(/[.?]/g, ' —').split(' ').slice(3, 16).join('  ')
    expect(leak(benchmarks, `Somebody asked: ${part}`)).toEqual({ title: 'GSM8K', id: 'gsm8k/2', words: 13 })
  })

  it('is not found in one that holds 12', () => {
    const part = QUESTION.split(' ').slice(3, 15).join(' ')
    expect(leak(benchmarksOf(QUESTION), `Somebody asked: ${part} or so`)).toBeUndefined()
  })

  it('of 8 to 12 words is found whole; a shorter one is not looked for, and counted', () => {
    const benchmarks = benchmarksOf('How far is it to the Moon from here?', 'How much is it?')
    // "Question:" and "Answer:" stand around it when it is put.
    expect(leak(benchmarks, 'Question: How far is it to the moon from here? Answer: far')?.id).toBe('gsm8k/1')
    expect(leak(benchmarks, 'Question: How much is it? Answer: 3')).toBeUndefined()
    expect(benchmarks.tasks).toEqual([{ name: 'gsm8k', title: 'GSM8K', questions: 2, tooShort: 1 }])
  })

  it('shares with many others what is no leak: a phrase that more than ten have', () => {
    const phrase = 'Read the following story carefully and then answer the question that stands below it.'
    const stories = Array.from(
      { length: 11 },
      (_, at) => `${phrase} Story ${at} is ${'very '.repeat(at)}long.`,
    )
    expect(leak(benchmarksOf(...stories), phrase)).toBeUndefined()
    expect(leak(benchmarksOf(...stories.slice(1)), phrase)?.id).toBe('gsm8k/1')
  })
})
