/** The results as text: for a terminal, and as the table of docs/kselftest.md. */

import type { Place } from './run.ts';
import { countOutcomes, type SubTest, type Verdict } from './tap.ts';

export interface ProgramResult {
  readonly name: string;
  /** Undefined: not run there, or not built. */
  readonly verdicts: Readonly<Partial<Record<Place, Verdict>>>;
  /** Where the two runs of cowshed differ; null when they do not. */
  readonly difference: readonly [string, string] | null;
}

/** Names shown for one reason before the rest is only counted. */
const MAX_NAMES = 3;

/** `23 pass, 3 xfail`. */
function cell(verdict: Verdict | undefined): string {
  if (verdict === undefined) return '-';
  const counts = countOutcomes(verdict.tests);
  const parts = (['pass', 'xfail', 'skip', 'fail'] as const).filter((kind) => counts[kind] > 0);
  return parts.length === 0 ? '0' : parts.map((kind) => `${counts[kind]} ${kind}`).join(', ');
}

function planned({ verdicts }: ProgramResult): string {
  const first = verdicts['cow-pte'] ?? verdicts.default ?? verdicts.host ?? verdicts.qemu;
  return String(first?.planned ?? 0);
}

const HEADINGS: Readonly<Record<Place, string>> = {
  'cow-pte': 'cowshed, COW page tables',
  default: 'cowshed, default fork',
  host: 'host',
  qemu: 'qemu-user',
};

function rows(results: readonly ProgramResult[], places: readonly Place[]): string[][] {
  return [
    ['program', 'planned', ...places.map((place) => HEADINGS[place])],
    ...results.map((result) => [
      result.name,
      planned(result),
      ...places.map((place) => cell(result.verdicts[place])),
    ]),
  ];
}

/** Columns of equal width. */
export function plainTable(results: readonly ProgramResult[], places: readonly Place[]): string {
  const cells = rows(results, places);
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => (row[column] ?? '').length)),
  );
  return cells
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function markdownTable(results: readonly ProgramResult[], places: readonly Place[]): string {
  const [head = [], ...body] = rows(results, places);
  const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 1 ? '---:' : '---'));
  return [head, rule, ...body].map(line).join('\n');
}

/** Subtests of one outcome by reason, most frequent first. */
export function reasonsOf(tests: readonly SubTest[], outcome: 'skip' | 'fail'): string[] {
  const groups = new Map<string, string[]>();
  for (const test of tests) {
    if (test.outcome !== outcome) continue;
    const reason = test.reason === '' ? test.name : test.reason;
    const names = groups.get(reason) ?? [];
    names.push(test.name);
    groups.set(reason, names);
  }
  return [...groups.entries()]
    .sort((a, b) => b[1].length - a[1].length)
    .map(([reason, names]) => {
      const shown = names.filter((name) => name !== reason).slice(0, MAX_NAMES);
      const rest = names.length - shown.length;
      const more = rest > 0 && shown.length > 0 ? `, ${rest} more` : '';
      return `${names.length} x ${reason}${shown.length === 0 ? '' : ` (${shown.join('; ')}${more})`}`;
    });
}
