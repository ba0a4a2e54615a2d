/** Writes the documentation site to site/: static files that any server serves, and a browser opens from the disk. */
import { fileURLToPath } from 'node:url'
import { buildSite } from './site/build.ts'

const folder = fileURLToPath(new URL('../site/', import.meta.url))
await buildSite(folder)
console.log(`The site is in ${folder}; open index.html.`)
