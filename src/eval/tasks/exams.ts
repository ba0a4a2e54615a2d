/** Benchmarks of mathematics and of exams: MATH, and the English exams of AGIEval. */
import { agievalGrader, mathGrader } from '../extraction.ts'
import type { Row } from '../row.ts'
import type { ChoiceQuestion, Task, TextQuestion } from '../task.ts'
import { MATH_SHOTS } from './math-shots.ts'
import { ACC, ACC_NORM, EXACT_MATCH, onHub } from './parts.ts'

const MATH_SUBJECTS = [
  'algebra',
  'counting_and_probability',
  'geometry',
  'intermediate_algebra',
  'number_theory',
  'prealgebra',
  'precalculus',
] as const

const math: Task = {
  name: 'minerva_math',
  title: 'MATH',
  source: 'https://huggingface.co/datasets/EleutherAI/hendrycks_math (Hendrycks et al. 2021)',
  licence: 'MIT',
  data: MATH_SUBJECTS.map((part) =>
    onHub('EleutherAI/hendrycks_math', part, 'test', `minerva_math/${part}`, { part, local: [] }),
  ),
  shots: 0,
  shotOrder: 'first',
  preambleShots: MATH_SHOTS.length,
  preamble: () => MATH_SHOTS.map(([problem, solution]) => `${mathPrompt(problem)} ${solution}\n\n`).join(''),
  measures: [EXACT_MATCH],
  grader: mathGrader,
  pose(row): TextQuestion {
    const solution = row.text('solution')
    return {
      kind: 'text',
      prompt: mathPrompt(row.text('problem')),
      answers: [solution],
      stop: ['Problem:'],
      maxTokens: 256,
    }
  },
}

const mathPrompt = (problem: string): string => `Problem:\n${problem}\n\nSolution:`

const AGIEVAL_EXAMS = [
  'aqua-rat',
  'gaokao-english',
  'logiqa-en',
  'lsat-ar',
  'lsat-lr',
  'lsat-rc',
  'math',
  'sat-en-without-passage',
  'sat-en',
  'sat-math',
] as const

const agieval: Task = {
  name: 'agieval_en',
  title: 'AGIEval (English)',
  source: 'https://huggingface.co/datasets/hails/agieval-sat-math and nine beside it (Zhong et al. 2023)',
  licence: 'MIT',
  data: AGIEVAL_EXAMS.map((exam) => {
    const part = exam.replaceAll('-', '_')
    return onHub(`hails/agieval-${exam}`, 'default', 'test', `agieval_en/${part}`, { part, local: [] })
  }),
  shots: 0,
  shotOrder: 'first',
  measures: [ACC, ACC_NORM],
  grader: agievalGrader,
  pose: (row) => (row.has('choices') ? examQuestion(row) : examProblem(row)),
}

/** More than one choice may be right. */
function examQuestion(row: Row): ChoiceQuestion {
  const choices = row.texts('choices')
  const gold = row.numbers('gold')
  if (gold.length === 0 || gold.some((one) => !Number.isInteger(one) || one < 0 || one >= choices.length)) {
    throw row.problem('gold does not hold indices of choices')
  }
  return { kind: 'choice', prompt: row.text('query'), choices, gold }
}

function examProblem(row: Row): TextQuestion {
  return {
    kind: 'text',
    prompt: row.text('query'),
    answers: [row.text('answer')],
    stop: ['Q:'],
    maxTokens: 32,
  }
}

export const EXAMS: readonly Task[] = [math, agieval]
