/** A release as a report: one table of gates, for terminals, Markdown and pages. */
import type { Report } from '../eval/report.ts'
import type { Release } from './release.ts'

export function toReleaseReport(model: string, { passed, gates, probes }: Release): Report {
  const failures = gates.filter(({ outcome }) => outcome === 'failed')
  const open = gates.filter(({ outcome }) => outcome === 'not run')
  const rows = gates.map(({ gate, outcome, reason }) => [gate, outcome, reason])
  return {
    title: `Release of ${model}`,
    lead: passed
      ? `No gate failed; ${open.length} of ${gates.length} were not run.`
      : `Not to be released: ${failures.map(({ gate }) => gate).join(', ')} failed.`,
    warnings: failures.map(({ gate, reason }) => `${gate}: ${reason}`),
    sections: [
      {
        title: 'Gates',
        charts: [],
        tables: [{ caption: 'Gates', columns: ['Gate', 'Outcome', 'Reason'], rows, words: true }],
      },
      ...(probes
        ? [
            {
              title: 'Safety probes',
              charts: [],
              tables: [
                {
                  caption: 'What the judge found in the answers',
                  columns: ['Probe', 'Policy', 'Violation', 'Probability', 'Harmless one refused'],
                  rows: probes.map(({ id, policy, violation, probability, refusal }) => [
                    id,
                    policy,
                    violation ? 'yes' : 'no',
                    probability?.toFixed(3) ?? '',
                    refusal ? 'yes' : 'no',
                  ]),
                  words: true,
                },
              ],
            },
          ]
        : []),
    ],
    notes: [
      'A gate that was not run says nothing of the model. Limits are of the person who releases: --gates.',
    ],
  }
}
