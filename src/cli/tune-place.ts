/** Where runs have written, as `facet tune` reaches it. */
import { resolve } from 'node:path'
import { Web } from '../pull/web.ts'
import type { PlaceOptions } from '../tune/home/result-place.ts'
import { googleTokens } from './pull.ts'

/** @param folder of facet.config.ts, which folders are relative to */
export function placeIn(folder: string, out: string): string {
  return isBucket(out) ? out : resolve(folder, out)
}

export function isBucket(place: string): boolean {
  return place.startsWith('gs://')
}

export function toPlaceOptions(signal: AbortSignal): PlaceOptions {
  const endpoint = process.env.STORAGE_EMULATOR_HOST
  return { web: new Web({ signal }), tokens: googleTokens, signal, ...(endpoint && { endpoint }) }
}
