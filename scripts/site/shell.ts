/** The HTML around every page: navigation, search, what is on the page, the pages before and after. */
import type { Heading } from './markdown.ts'
import { addressOf, type Entry, type Section } from './order.ts'

export interface Content {
  readonly entry: Entry
  readonly html: string
  readonly headings: readonly Heading[]
}

/** Nothing is fetched from elsewhere, which the policy also forbids. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"

export function toHtml({ entry, html, headings }: Content, order: readonly Section[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(entry.title)} · Facet</title>
<link rel="icon" href="assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="assets/style.css">
<script src="assets/theme.js"></script>
<script src="assets/main.js" defer></script>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<a class="brand" href="index.html"><img src="assets/icon.svg" alt="" width="24" height="24">Facet</a>
<search hidden>
<label for="query" class="unseen">Search the documentation</label>
<input id="query" type="search" placeholder="Search (press /)" autocomplete="off" spellcheck="false" aria-controls="found">
<div class="results" hidden><p role="status"></p><ul id="found"></ul></div>
</search>
<button id="theme" type="button" hidden aria-pressed="false">Dark</button>
</header>
<div class="columns">
<nav aria-label="Documentation">
<details class="menu"><summary>Pages</summary>
${order.map((section) => toSection(section, entry)).join('\n')}
</details>
</nav>
<main id="content" tabindex="-1">
<article>
${html}</article>
${toNeighbours(entry, order)}
</main>
${toContents(headings)}
</div>
</body>
</html>
`
}

const toSection = ({ title, pages }: Section, current: Entry): string => `<section>
<h2>${escaped(title)}</h2>
<ul>${pages.map((page) => `<li>${toLink(page, page === current)}</li>`).join('')}</ul>
</section>`

const toLink = ({ source, title }: Entry, isCurrent: boolean): string =>
  `<a href="${addressOf(source)}"${isCurrent ? ' aria-current="page"' : ''}>${escaped(title)}</a>`

function toContents(headings: readonly Heading[]): string {
  const shown = headings.filter(({ level }) => level === 2 || level === 3)
  if (shown.length < 2) return ''
  const items = shown.map(
    ({ level, id, text }) => `<li class="level-${level}"><a href="#${id}">${escaped(text)}</a></li>`,
  )
  return `<aside aria-labelledby="on-this-page"><h2 id="on-this-page">On this page</h2><ul>${items.join('')}</ul></aside>`
}

function toNeighbours(entry: Entry, order: readonly Section[]): string {
  const all = order.flatMap(({ pages }) => pages)
  const at = all.indexOf(entry)
  const [before, after] = [all[at - 1], all[at + 1]]
  const link = (page: Entry | undefined, rel: string, word: string): string =>
    page
      ? `<a rel="${rel}" href="${addressOf(page.source)}"><span>${word}</span> ${escaped(page.title)}</a>`
      : ''
  return `<nav class="neighbours" aria-label="Pages before and after">${link(before, 'prev', 'Before')}${link(after, 'next', 'Next')}</nav>`
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
