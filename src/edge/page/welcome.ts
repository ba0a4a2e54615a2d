/** What stands on the page before the first question: the model in a few words, and examples to click. */
import type { ModelSpec } from '../../index.ts'
import { aboutOf, titleOf } from './about.ts'
import { element, make } from './dom.ts'

/** @param onExample a question was chosen */
export function introduce(model: ModelSpec, onExample: (question: string) => void): void {
  const about = aboutOf(model)
  const title = element('model', HTMLElement)
  title.textContent = titleOf(model)
  title.title = about.description
  element('heading', HTMLElement).textContent = about.heading
  element('about', HTMLElement).textContent = about.description
  element('question', HTMLTextAreaElement).placeholder = about.placeholder
  element('examples', HTMLUListElement).replaceChildren(
    ...about.examples.map((example) => {
      const item = make('li')
      const button = make('button', example)
      button.type = 'button'
      button.addEventListener('click', () => onExample(example))
      item.append(button)
      return item
    }),
  )
}
