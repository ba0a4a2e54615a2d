/** `facet.json`, the manifest of a model directory: written last, checked first. */

export const MANIFEST_FILE = 'facet.json'
export const GRAPH_FILE = 'model.onnx'
export const DATA_FILE = 'model.onnx_data'
/** Files are hashed whole and in chunks of this size, so that loading and resuming verify as they go. */
export const CHUNK_BYTES: number = 16 * 1024 * 1024

export interface FileEntry {
  /** Relative to the directory, with forward slashes. */
  readonly path: string
  readonly sizeBytes: number
  /** Lower-case hexadecimal. */
  readonly sha256: string
  /** sha256 of every CHUNK_BYTES, the last one shorter. */
  readonly chunks: readonly string[]
}

export interface Quantization {
  readonly bits: 4 | 8
  /** Weights of one row that share a scale. */
  readonly blockSize: number
  /** symmetric: w = scale * (q - 2^(bits-1)), scale = absmax / (2^(bits-1) - 1) rounded to bfloat16. */
  readonly scheme: 'symmetric'
}

export interface Manifest {
  /** Version of this format. */
  readonly format: 1
  /** The model's id, for example `gemma-2b-it`. */
  readonly id: string
  readonly description?: string
  readonly source?: string
  readonly license?: string
  readonly parameters: number
  /** Of the weights that are not quantized (all of them with `--quant none`). */
  readonly dtype: 'bf16' | 'f16' | 'f32'
  readonly quantization: Quantization | null
  readonly files: readonly FileEntry[]
}
