/** Benchmarks that are answered step by step: GSM8K and BIG-Bench Hard. */
import { bbhGrader, gsm8kGrader } from '../extraction.ts'
import type { Row } from '../row.ts'
import type { DataFile, Task, TextQuestion } from '../task.ts'
import { EXACT_MATCH, onHub, shotsOnHub } from './parts.ts'

const gsm8k: Task = {
  name: 'gsm8k',
  title: 'GSM8K',
  source: 'https://huggingface.co/datasets/openai/gsm8k (Cobbe et al. 2021)',
  licence: 'MIT',
  data: [onHub('openai/gsm8k', 'main', 'test', 'gsm8k', { local: ['gsm8k/test.jsonl'] })],
  shotData: [
    shotsOnHub('openai/gsm8k', 'main', 'train', 'gsm8k', {
      local: ['gsm8k/train.jsonl', 'gsm8k/train-first-200.jsonl'],
    }),
  ],
  shots: 5,
  shotOrder: 'seeded',
  measures: [EXACT_MATCH, { name: 'flexible_match', unit: 'share', higherIsBetter: true }],
  grader: gsm8kGrader,
  pose(row): TextQuestion {
    const solution = row.text('answer')
    const result = solution.split('#### ').at(-1)!.trim()
    if (!solution.includes('#### ') || result === '')
      throw row.problem('answer does not end with #### and a number')
    return {
      kind: 'text',
      prompt: `Question: ${row.text('question')}\nAnswer:`,
      answers: [result],
      solution,
      stop: ['Question:', '</s>', '<|im_end|>'],
      maxTokens: 256,
    }
  },
}

const BBH_REPOSITORY = 'https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/main'
const BBH_PARTS = [
  'boolean_expressions',
  'causal_judgement',
  'date_understanding',
  'disambiguation_qa',
  'dyck_languages',
  'formal_fallacies',
  'geometric_shapes',
  'hyperbaton',
  'logical_deduction_five_objects',
  'logical_deduction_seven_objects',
  'logical_deduction_three_objects',
  'movie_recommendation',
  'multistep_arithmetic_two',
  'navigate',
  'object_counting',
  'penguins_in_a_table',
  'reasoning_about_colored_objects',
  'ruin_names',
  'salient_translation_error_detection',
  'snarks',
  'sports_understanding',
  'temporal_sequences',
  'tracking_shuffled_objects_five_objects',
  'tracking_shuffled_objects_seven_objects',
  'tracking_shuffled_objects_three_objects',
  'web_of_lies',
  'word_sorting',
] as const

const bbhFiles = (folder: string, kind: string): DataFile[] =>
  BBH_PARTS.map((part) => ({
    part,
    url: `${BBH_REPOSITORY}/${folder}/${part}.${kind}`,
    local: [`bbh/${folder}/${part}.${kind}`],
  }))

const bbh: Task = {
  name: 'bbh_cot_fewshot',
  title: 'BBH',
  source: 'https://github.com/suzgunmirac/BIG-Bench-Hard (Suzgun et al. 2022)',
  licence: 'MIT',
  data: bbhFiles('bbh', 'json'),
  preambleData: bbhFiles('cot-prompts', 'txt'),
  preambleShots: 3,
  shots: 0,
  shotOrder: 'first',
  preamble: (_part, rows) => rows.map(solvedExamples).join(''),
  measures: [EXACT_MATCH],
  grader: bbhGrader,
  pose: (row): TextQuestion => ({
    kind: 'text',
    prompt: `Q: ${row.text('input')}\nA: Let's think step by step.\n`,
    answers: [row.text('target')],
    delimiter: '',
    stop: ['</s>', 'Q', '\n\n'],
    maxTokens: 1024,
  }),
}

/** What the authors' file says after its mark against training: three solved examples. */
function solvedExamples(row: Row): string {
  const text = row.text('text')
  const body = text.slice(text.indexOf('-----\n') + '-----\n'.length).replace(/\n*$/, '')
  // One of the files begins its answers on the same line.
  return `${body.replaceAll("A: Let's think step by step. ", "A: Let's think step by step.\n")}\n\n`
}

export const REASONING: readonly Task[] = [gsm8k, bbh]
