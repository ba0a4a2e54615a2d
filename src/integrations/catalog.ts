/** All frameworks by name, and whether one takes a model. */
import { FacetError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { FRAMEWORKS, type Framework, type FrameworkName, type Recipe, type Support } from './framework.ts'
import { peft, transformers, trl } from './hugging-face.ts'
import { kaggle } from './kaggle.ts'
import { keras } from './keras.ts'
import { maxtext } from './maxtext.ts'
import { type Names, namesOf } from './names.ts'
import { megatronBridge, nemo, nemo2 } from './nemo.ts'
import { jetstream, tensorrtLlm, tensorrtLlmEngine, vllm, vllmTpu } from './serving.ts'

const ALL: Readonly<Record<FrameworkName, Framework>> = {
  transformers,
  trl,
  peft,
  keras,
  maxtext,
  nemo,
  'megatron-bridge': megatronBridge,
  'nemo-2': nemo2,
  vllm,
  'vllm-tpu': vllmTpu,
  'tensorrt-llm': tensorrtLlm,
  'tensorrt-llm-engine': tensorrtLlmEngine,
  jetstream,
  kaggle,
}

export function frameworkOf(name: FrameworkName): Framework {
  return ALL[name]
}

/** @throws FacetError not_found for a name that is none */
export function frameworkNamed(name: string): Framework {
  const found = FRAMEWORKS.find((one) => one === name)
  if (found) return ALL[found]
  const meant = nearest(name, FRAMEWORKS)
  throw new FacetError(
    'not_found',
    `Nothing is known of ${name}; ${meant ? `did you mean ${meant}?` : `name one of ${FRAMEWORKS.join(', ')}.`}`,
    { field: 'name' },
  )
}

/** Why a framework, at the version that is pinned, should not be given a model; undefined: it may. */
export function refusal(framework: Framework, { published, generation }: Names): string | undefined {
  const support: Support = framework.support[generation]
  const { state, because = '', instead, until, sizes } = support
  const other = instead ? ` Use ${instead} instead.` : ''
  if (state === 'supported') {
    if (!sizes || sizes.includes(published)) return
    return `${framework.title} takes ${sizes.join(', ')}, and not ${published}.${other}`
  }
  // A release that still has it may be pinned.
  if (state === 'dropped' && until === framework.version) return
  const what = {
    dropped: 'has dropped',
    never: 'does not take',
    unconfirmed: 'is not known to take',
  }[state]
  return `${framework.title} ${what} ${published}. ${because}${other}`
}

/**
 * The names of a model, where the framework takes it.
 *
 * @throws FacetError unsupported with the reason and what to use instead; model_not_found
 */
export function requireSupport(framework: Framework, model: string): Names {
  const names = namesOf(model)
  const reason = refusal(framework, names)
  if (reason) throw new FacetError('unsupported', reason, { field: 'model' })
  return names
}

/** `name==version` of each package, for pip. */
export function requirements({ packages }: Pick<Framework, 'packages'>): string[] {
  return packages.map(({ name, version }) => `${name}==${version}`)
}

/** A framework's recipes for a model, filled in. */
export function recipesFor(framework: Framework, names: Names): Recipe[] {
  const slots: Readonly<Record<string, string>> = {
    ...names,
    packages: requirements(framework).map(quoted).join(' '),
  }
  const fill = (line: string): string => line.replaceAll(/\{(\w+)\}/g, (all, slot) => slots[slot] ?? all)
  return framework.recipes
    .filter(({ generations }) => !generations || generations.includes(names.generation))
    .map((recipe) => ({ ...recipe, commands: recipe.commands.map(fill) }))
}

/** Brackets of extras mean something to a shell. */
function quoted(requirement: string): string {
  return requirement.includes('[') ? `'${requirement}'` : requirement
}
