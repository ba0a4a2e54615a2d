/** The small files of a checkpoint or model directory: configuration and tokenizer. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FacetError } from '../errors.ts'
import { configFrom, type GemmaConfig } from '../gemma/config.ts'
import { CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILES } from '../gemma/manifest.ts'

/** Copied as they are, where the checkpoint has them. */
export const COPIED_FILES: readonly string[] = [
  CONFIG_FILE,
  GENERATION_FILE,
  ...TOKENIZER_FILES,
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
]

/**
 * Reads `config.json` and, where there is one, `generation_config.json`.
 *
 * @throws FacetError invalid_checkpoint
 */
export async function readConfig(dir: string): Promise<GemmaConfig> {
  const config = await readOptional(dir, CONFIG_FILE)
  if (!config) {
    const advice = 'give the directory of a Hugging Face checkpoint'
    throw new FacetError('invalid_checkpoint', `${dir} has no ${CONFIG_FILE}; ${advice}.`, {
      field: CONFIG_FILE,
    })
  }
  const generation = await readOptional(dir, GENERATION_FILE)
  const json = parseJson(CONFIG_FILE, config)
  if ((json as { tie_word_embeddings?: unknown } | null)?.tie_word_embeddings === false) {
    const problem = `${CONFIG_FILE}: tie_word_embeddings is false, but only models whose head is the embedding can be converted.`
    throw new FacetError('unsupported', problem, { field: 'tie_word_embeddings' })
  }
  return configFrom(json, generation && parseJson(GENERATION_FILE, generation))
}

/** The file's bytes, or undefined when there is no such file. */
export async function readOptional(dir: string, file: string): Promise<Uint8Array | undefined> {
  return readFile(join(dir, file)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new FacetError('io_failed', `${join(dir, file)} cannot be read: ${error.message}.`, {
      cause: error,
    })
  })
}

/** @throws FacetError invalid_checkpoint, naming the file */
export function parseJson(file: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new FacetError('invalid_checkpoint', `${file}: it is not JSON; download it again.`, {
      field: file,
      cause,
    })
  }
}
