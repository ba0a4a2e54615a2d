/** `gemfacet`: what a browser may import. No dependency, no `node:`. */
export { FacetError } from './errors.ts'
