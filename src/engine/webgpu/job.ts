/** What a pass is told: one small buffer of u32, written once before it is submitted. */

/** Most tokens of a pass of single tokens: one of each sequence. */
export const FEW: number = 16
/** Most tokens of a pass of prompts. */
export const MANY: number = 512
/** Most rows of logits computed at once. */
export const LOGIT_ROWS: number = 16

/** In a token's place: the token that was chosen for this row of the pass before, which nobody has seen yet. */
export const CHOSEN_BEFORE = 0x80000000

/** Words: how many tokens; how many rows of logits; splits of attention; one unused; then 4 a token; then rows; then page tables. */
const HEADER = 4
const TOKEN_WORDS = 4
const WANTED: number = HEADER + MANY * TOKEN_WORDS
const TABLES: number = WANTED + MANY

/** WGSL of the job's fields; expects `job: array<u32>`. */
export const JOB_FUNCTIONS: string = `
fn tokenCount() -> u32 { return job[0]; }
fn rowCount() -> u32 { return job[1]; }
fn splitCount() -> u32 { return job[2]; }
fn tokenWordOf(t: u32) -> u32 { return job[${HEADER}u + t * ${TOKEN_WORDS}u]; }
fn positionOf(t: u32) -> u32 { return job[${HEADER + 1}u + t * ${TOKEN_WORDS}u]; }
fn tableOf(t: u32) -> u32 { return job[${HEADER + 2}u + t * ${TOKEN_WORDS}u]; }
fn wantedOf(row: u32) -> u32 { return job[${WANTED}u + row]; }
`

/** Tokens of one sequence in a pass. */
export interface JobSlice {
  /** Ids, or CHOSEN_BEFORE plus a row. */
  readonly tokens: readonly number[]
  /** Of the first token. */
  readonly position: number
  /** Page numbers of the sequence so far and of these tokens. */
  readonly table: Uint32Array
  /** Of how many of the last tokens logits are wanted. */
  readonly logits: number
}

export function jobWords(sequences: number, tableWords: number): number {
  return TABLES + sequences * tableWords
}

export interface JobOptions {
  readonly splits: number
  /** Rows of logits left out, because they have been computed. */
  readonly done: number
}

/** Fills `words` and returns how many of them are used. */
export function writeJob(
  words: Uint32Array,
  slices: readonly JobSlice[],
  { splits, done }: JobOptions,
): number {
  let t = 0
  let rows = 0
  let end = TABLES
  for (const { tokens, position, table, logits } of slices) {
    words.set(table, end)
    for (const [i, id] of tokens.entries()) {
      words.set([id, position + i, end, 0], HEADER + t * TOKEN_WORDS)
      if (tokens.length - i <= logits && rows++ >= done) words[WANTED + rows - 1 - done] = t
      t++
    }
    end += table.length
  }
  words.set([t, Math.min(rows - done, LOGIT_ROWS), splits, 0], 0)
  return end
}
