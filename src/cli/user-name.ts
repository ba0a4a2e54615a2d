/** Who is at work, for others to see. */
import { hostname, userInfo } from 'node:os'

/** `ann@laptop in /home/ann/site`. */
export function atWork(folder: string): string {
  return `${userName()}@${hostname()} in ${folder}`
}

/** In a container the user may have no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'somebody'
  }
}
