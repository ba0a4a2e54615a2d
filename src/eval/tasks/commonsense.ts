/** Benchmarks of common sense: HellaSwag, PIQA, SIQA, BoolQ, WinoGrande, CommonsenseQA, OpenBookQA, ARC. */
import type { Row } from '../row.ts'
import type { ChoiceQuestion, DataFile, Task } from '../task.ts'
import { ACC, ACC_NORM, keyedChoices, lettered, letters, onHub, shotsOnHub } from './parts.ts'

/** What one of them is, but for what all have alike. */
interface Described extends Pick<Task, 'name' | 'title' | 'licence' | 'measures' | 'pose'> {
  readonly hub: NonNullable<DataFile['hub']>
  /** Authors and year. */
  readonly paper: string
  /** Below a local data folder, before NAME.jsonl. */
  readonly local?: readonly string[]
  /** Default: none. */
  readonly shots?: number
}

/** Questions of one split; shots are drawn from the training set. */
function onHubWithShots({ hub, paper, local = [], shots = 0, ...task }: Described): Task {
  const { repo, config, split } = hub
  return {
    ...task,
    source: `https://huggingface.co/datasets/${repo} (${paper})`,
    data: [onHub(repo, config, split, task.name, { local })],
    shotData: [shotsOnHub(repo, config, 'train', task.name)],
    shots,
    shotOrder: 'seeded',
  }
}

const hellaswag = onHubWithShots({
  name: 'hellaswag',
  title: 'HellaSwag',
  hub: { repo: 'Rowan/hellaswag', config: 'default', split: 'validation' },
  paper: 'Zellers et al. 2019',
  licence: 'MIT',
  measures: [ACC_NORM, ACC],
  pose(row): ChoiceQuestion {
    const end = row.text('ctx_b', true)
    const context = `${row.text('ctx_a')} ${end.slice(0, 1).toUpperCase()}${end.slice(1).toLowerCase()}`
    const choices = row.texts('endings').map(withoutMarks)
    return {
      kind: 'choice',
      prompt: withoutMarks(`${row.text('activity_label')}: ${context}`),
      choices,
      gold: [row.index('label', choices.length)],
    }
  },
})

/** WikiHow's articles left marks in brackets. */
function withoutMarks(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replaceAll(/\[.*?\]/g, '')
    .replaceAll('  ', ' ')
}

const piqa = onHubWithShots({
  name: 'piqa',
  title: 'PIQA',
  hub: { repo: 'baber/piqa', config: 'default', split: 'validation' },
  paper: 'Bisk et al. 2020',
  licence: 'AFL-3.0',
  measures: [ACC, ACC_NORM],
  pose: (row) => ({
    kind: 'choice',
    prompt: `Question: ${row.text('goal')}\nAnswer:`,
    choices: [row.text('sol1'), row.text('sol2')],
    gold: [row.index('label', 2)],
  }),
})

const siqa = onHubWithShots({
  name: 'social_iqa',
  title: 'SIQA',
  hub: { repo: 'lighteval/siqa', config: 'default', split: 'validation' },
  paper: 'Sap et al. 2019',
  licence: 'CC-BY-4.0',
  measures: [ACC],
  pose: (row) => ({
    kind: 'choice',
    prompt: `Q: ${row.text('context')} ${row.text('question')}\nA:`,
    choices: [row.text('answerA'), row.text('answerB'), row.text('answerC')],
    gold: [row.index('label', 3, 1)],
  }),
})

const boolq = onHubWithShots({
  name: 'boolq',
  title: 'BoolQ',
  hub: { repo: 'aps/super_glue', config: 'boolq', split: 'validation' },
  paper: 'Clark et al. 2019',
  licence: 'CC-BY-SA-3.0',
  measures: [ACC],
  pose: (row) => ({
    kind: 'choice',
    prompt: `${row.text('passage')}\nQuestion: ${row.text('question')}?\nAnswer:`,
    choices: ['no', 'yes'],
    gold: [row.index('label', 2)],
  }),
})

const winogrande = onHubWithShots({
  name: 'winogrande',
  title: 'WinoGrande',
  hub: { repo: 'allenai/winogrande', config: 'winogrande_xl', split: 'validation' },
  paper: 'Sakaguchi et al. 2019',
  licence: 'CC-BY-4.0',
  measures: [ACC],
  // Partial scoring (Trinh and Le 2018): the option stands in the prompt, and what follows it is scored.
  pose(row): ChoiceQuestion {
    const sentence = row.text('sentence')
    const at = sentence.indexOf('_')
    if (at < 0) throw row.problem('sentence has no _ where the options go')
    const ending = sentence.slice(at + 1).trim()
    const options = [row.text('option1'), row.text('option2')]
    return {
      kind: 'choice',
      prompt: options.map((option) => sentence.slice(0, at) + option),
      choices: options.map(() => ending),
      gold: [row.index('answer', 2, 1)],
    }
  },
})

const commonsenseQa = onHubWithShots({
  name: 'commonsense_qa',
  title: 'CommonsenseQA',
  hub: { repo: 'tau/commonsense_qa', config: 'default', split: 'validation' },
  paper: 'Talmor et al. 2019',
  licence: 'MIT',
  shots: 7,
  measures: [ACC],
  pose(row): ChoiceQuestion {
    const { choices, gold } = keyedChoices(row)
    return {
      kind: 'choice',
      prompt: `Question: ${row.text('question').trim()}\n${lettered(choices)}\nAnswer:`,
      choices: letters(choices.length),
      gold: [gold],
    }
  },
})

const openbookQa = onHubWithShots({
  name: 'openbookqa',
  title: 'OpenBookQA',
  hub: { repo: 'allenai/openbookqa', config: 'main', split: 'test' },
  paper: 'Mihaylov et al. 2018',
  licence: 'Apache-2.0',
  measures: [ACC_NORM, ACC],
  pose(row): ChoiceQuestion {
    const { choices, gold } = keyedChoices(row)
    return { kind: 'choice', prompt: row.text('question_stem'), choices, gold: [gold] }
  },
})

function arc(name: 'arc_easy' | 'arc_challenge', config: string, title: string): Task {
  return onHubWithShots({
    name,
    title,
    hub: { repo: 'allenai/ai2_arc', config, split: 'test' },
    paper: 'Clark et al. 2018',
    licence: 'CC-BY-SA-4.0',
    local: [`arc/${name}.jsonl`],
    measures: [ACC_NORM, ACC],
    pose: (row) => (row.has('query') ? posed(row) : asked(row)),
  })
}

function asked(row: Row): ChoiceQuestion {
  const { choices, gold } = keyedChoices(row)
  const prompt = `Question: ${row.text('question')}\nAnswer:`
  return { kind: 'choice', prompt, choices, gold: [gold], ...(row.has('id') && { id: row.text('id') }) }
}

/** Rows that hold the question as it is asked, and the index of the right choice. */
function posed(row: Row): ChoiceQuestion {
  const choices = row.texts('choices')
  const prompt = `${row.text('query')}\nAnswer:`
  return { kind: 'choice', prompt, choices, gold: [row.index('gold', choices.length)] }
}

export const COMMONSENSE: readonly Task[] = [
  hellaswag,
  piqa,
  siqa,
  boolq,
  winogrande,
  commonsenseQa,
  openbookQa,
  arc('arc_easy', 'ARC-Easy', 'ARC-e'),
  arc('arc_challenge', 'ARC-Challenge', 'ARC-c'),
]
