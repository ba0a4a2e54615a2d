/**
 * A model card, as Mitchell et al. 2019 (arXiv:1810.03993) order it, with the front matter of Hugging Face. It says
 * what was measured and stated, and of everything else that it was not.
 */
import { toYamlStream } from '../../deploy/yaml.ts'
import type { Inspection } from '../convert/inspect.ts'
import type { Licence } from '../convert/licence.ts'
import type { Summary } from '../eval/summary.ts'
import { toFigureText, toIntervalText } from '../eval/text.ts'
import { formatBytes } from '../gemma/memory-plan.ts'
import { GEMMA_NOTICE, GEMMA_TERMS, PROHIBITED_USES } from '../gemma/terms.ts'
import type { DataSummary } from '../tune/data/summary.ts'
import type { Release } from './release.ts'

export interface CardFacts {
  readonly model: Inspection
  readonly licence: Licence
  /** On Hugging Face: what it was tuned or converted from. */
  readonly baseModel?: string
  readonly runs: readonly Summary[]
  readonly data?: DataSummary
  readonly release?: Release
}

/** The whole of README.md. The same facts give the same text. */
export function toCard(facts: CardFacts): string {
  const { model } = facts
  const name = model.id ?? 'model'
  const sections: readonly (readonly [title: string, body: readonly string[]])[] = [
    ['Model details', details(facts)],
    ['Intended use', intendedUse(facts)],
    ['Factors', factors(facts)],
    ['Metrics', metrics(facts)],
    ['Evaluation data', evaluationData(facts)],
    ['Training data', trainingData(facts)],
    ['Quantitative analyses', analyses(facts)],
    ['Ethical considerations', ethics(facts)],
    ['Caveats and recommendations', caveats(facts)],
  ]
  const body = sections.map(([title, lines]) => `## ${title}\n\n${lines.join('\n')}\n`)
  return [`${frontMatter(facts)}---\n`, `# ${name}\n`, ...body].join('\n')
}

/** huggingface.co/docs/hub/model-cards#model-card-metadata; figures as a model index. */
function frontMatter({ model, licence, baseModel, runs }: CardFacts): string {
  const { license, gemma } = licence
  const results = runs
    .filter(({ kind }) => kind === 'benchmark')
    .flatMap(({ results: tasks }) => tasks)
    .flatMap(({ name, title, figures: [first] }) =>
      first?.value == null
        ? []
        : [
            {
              task: { type: 'text-generation' },
              dataset: { name: title, type: name },
              metrics: [{ type: first.name, name: first.name, value: Number(first.value.toFixed(4)) }],
            },
          ],
    )
  return toYamlStream([
    {
      ...(gemma ? { license: 'gemma', license_link: GEMMA_TERMS.url } : toLicense(license)),
      ...(baseModel !== undefined && { base_model: baseModel }),
      library_name: 'facet',
      pipeline_tag: 'text-generation',
      ...(results.length > 0 && { 'model-index': [{ name: model.id ?? 'model', results }] }),
    },
  ])
}

/** Licences that have a name of their own on the hub; others are given with theirs. */
const LICENCES: readonly (readonly [stated: RegExp, name: string])[] = [
  [/^cc[ -]by[ -]4\.0\b/i, 'cc-by-4.0'],
  [/^apache[ -](license[ -])?2\.0\b/i, 'apache-2.0'],
  [/^mit\b/i, 'mit'],
]

function toLicense(stated = 'not stated'): { readonly license: string; readonly license_name?: string } {
  const known = LICENCES.find(([pattern]) => pattern.test(stated))
  return known ? { license: known[1] } : { license: 'other', license_name: stated }
}

function details({ model, licence, baseModel }: CardFacts): string[] {
  const { config, parameters, weights, sizes, contextTokens, description, source } = model
  const whole = new Intl.NumberFormat('en')
  const bytes = Object.values(sizes).reduce((sum, size) => sum + size, 0)
  return [
    ...(description === undefined ? [] : [description, '']),
    `- Architecture: ${config.architecture}, ${config.layers.length} layers, d_model ${config.hiddenSize}, vocabulary ${config.vocabSize}`,
    `- Parameters: ${whole.format(parameters.total)}`,
    `- Weights: ${weights}, ${formatBytes(bytes)}`,
    `- Context: ${whole.format(contextTokens)} tokens`,
    `- Base model: ${baseModel ?? 'not stated'}`,
    `- Source: ${source ?? 'not stated'}`,
    `- Licence: ${licence.license ?? 'not stated'}`,
    ...(licence.gemma ? ['', `${GEMMA_NOTICE}.`] : []),
  ]
}

function intendedUse({ licence }: CardFacts): string[] {
  return [
    'Whoever publishes this model has not stated an intended use here yet.',
    ...(licence.gemma
      ? ['', `Out of scope: whatever the [Gemma Prohibited Use Policy](${PROHIBITED_USES}) names.`]
      : []),
  ]
}

function factors({ runs }: CardFacts): string[] {
  const parts = runs.flatMap(({ results }) => results).filter(({ parts: own }) => own.length > 1)
  if (parts.length === 0) return ['No figures were taken by group, language or subject.']
  return parts.map(({ title, parts: own }) => `- ${title}: by ${own.map(({ name }) => name).join(', ')}`)
}

function metrics({ runs }: CardFacts): string[] {
  const names = new Map(
    runs
      .flatMap(({ tasks }) => tasks)
      .map(({ title, measures }) => [title, measures.map(({ name }) => name)]),
  )
  if (names.size === 0) return ['Nothing was measured.']
  return [...[...names].map(([title, own]) => `- ${title}: ${own.join(', ')}`), '', 'Intervals are of 95%.']
}

function evaluationData({ runs }: CardFacts): string[] {
  const tasks = runs.flatMap((run) => run.tasks)
  if (tasks.length === 0) return ['None: nothing was measured.']
  return tasks.map(({ title, samples, of, data }) => {
    const files = data.map(({ file, sha256 }) => `${file} (sha256 ${sha256.slice(0, 12)}…)`).join(', ')
    return `- ${title}: ${samples} of ${of}; ${files}`
  })
}

function trainingData({ data }: CardFacts): string[] {
  if (!data) return ['Not stated: no summary of the tuning data was given.']
  const { rows, kept, dropped, train, settings, files } = data
  const reasons = Object.entries(dropped).map(([reason, count]) => `${reason} ${count}`)
  return [
    `- Rows: ${rows} read from ${files.length} files, ${kept} kept, ${train.rows} trained with (sha256 ${train.sha256.slice(0, 12)}…)`,
    `- Dropped: ${reasons.length === 0 ? 'none' : reasons.join(', ')}`,
    `- Personal data: ${settings.personalData === 'none' ? 'nobody has looked for it' : `looked for by ${settings.personalData}`}`,
    `- Questions of benchmarks: ${settings.benchmarks.length === 0 ? 'nobody has looked for them' : `looked for: ${settings.benchmarks.map(({ name }) => name).join(', ')}`}`,
  ]
}

function analyses({ runs }: CardFacts): string[] {
  const rows = runs.flatMap(({ results }) =>
    results.flatMap(({ title, figures }) =>
      figures.map(
        (figure) =>
          `| ${title} | ${figure.name} | ${toFigureText(figure)} | ${toIntervalText(figure)} | ${figure.count} |`,
      ),
    ),
  )
  if (rows.length === 0) return ['Nothing was measured.']
  const unfinished = runs.filter(({ done, total }) => done < total)
  return [
    '| task | measure | value | 95% interval | samples |',
    '|---|---|---|---|---|',
    ...rows,
    ...unfinished.map(
      ({ done, total, kind }) => `\nThe ${kind} run is not finished: ${done} of ${total} samples.`,
    ),
  ]
}

/** What bears on safety, as far as somebody looked. */
function ethics({ runs, release }: CardFacts): string[] {
  const memorized = runs.some(({ kind }) => kind === 'memorization')
  const probes = release?.probes
  const violations = probes?.filter(({ violation }) => violation).length
  return [
    probes
      ? `- Safety probes: ${violations} of ${probes.length} answers were judged to violate a policy.`
      : '- Safety: its answers to harmful requests were not judged.',
    memorized
      ? '- Memorization and personal data: measured, in the table above.'
      : '- Memorization and personal data: not measured.',
    '- Bias: what was measured of it, if anything, stands in the table above.',
  ]
}

function caveats({ release, runs }: CardFacts): string[] {
  const gates = release?.gates ?? []
  const notes = runs.flatMap((run) => run.notes)
  return [
    ...(gates.length === 0
      ? ['No gates of a release were run.']
      : [
          '| gate | outcome | reason |',
          '|---|---|---|',
          ...gates.map(
            ({ gate, outcome, reason }) => `| ${gate} | ${outcome} | ${reason.replaceAll('|', '\\|')} |`,
          ),
        ]),
    ...(notes.length === 0 ? [] : ['', ...[...new Set(notes)].map((note) => `- ${note}`)]),
  ]
}
