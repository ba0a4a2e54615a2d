/** Who looks for personal data: nobody, detectors on this machine, or Google's Sensitive Data Protection. */
import { type Command, Option } from 'commander'
import { FacetError } from '../errors.ts'
import type { PersonalDataDetector } from '../eval/personal-data.ts'
import { googleDetector } from '../eval/personal-data-google.ts'
import { localDetector } from '../eval/personal-data-local.ts'
import { applicationDefault } from '../google/node.ts'

type DetectorName = 'none' | PersonalDataDetector['name']

export interface DetectorFlags {
  readonly personalData: DetectorName
  readonly project?: string
  readonly location?: string
}

/** @param where it looks, for people */
export function withDetectorFlags(command: Command, byDefault: DetectorName, where: string): Command {
  return command
    .addOption(
      new Option('--personal-data <detector>', `looks for personal data ${where}`)
        .choices(['none', 'local', 'google'])
        .default(byDefault),
    )
    .addOption(
      new Option('--project <id>', 'asks Sensitive Data Protection, with --personal-data google').env(
        'GOOGLE_CLOUD_PROJECT',
      ),
    )
    .option('--location <name>', 'where it processes texts, with --personal-data google (default: global)')
}

export interface OpenDetector extends AsyncDisposable {
  readonly detector?: PersonalDataDetector
}

/** @throws FacetError invalid_request (no project), unsupported (a package is missing), and what Google refuses with */
export async function openDetector({
  personalData,
  project,
  location,
}: DetectorFlags): Promise<OpenDetector> {
  if (personalData === 'none') return { async [Symbol.asyncDispose]() {} }
  if (personalData === 'local') return { detector: await localDetector(), async [Symbol.asyncDispose]() {} }
  if (project === undefined) {
    throw new FacetError(
      'invalid_request',
      'Sensitive Data Protection is asked for a project; name it with --project.',
      { field: 'project' },
    )
  }
  const auth = await applicationDefault()
  const detector = await googleDetector({ project, auth, ...(location !== undefined && { location }) })
  return { detector, [Symbol.asyncDispose]: () => detector.close() }
}
