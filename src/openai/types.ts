/** Every type of the facade by its official name. */
export type * from './params.ts'
export type * from './wire.ts'
