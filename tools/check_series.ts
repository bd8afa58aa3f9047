/**
 * Checks docs/series.md, the table of the 14 patches: every file, function and test it names
 * exists, every row has an honest status, and the `@patch NN/14` tags of src/ agree with it. And
 * the tables of defects and invariants there: each has a test named after it.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const PATCHES = 14;

/** One row of the table. */
interface SeriesRow {
  readonly patch: string;
  /** Paths below src/. */
  readonly files: readonly string[];
  readonly functions: readonly string[];
  /** Paths below test/. */
  readonly tests: readonly string[];
  readonly status: string;
}

function codeSpans(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');
}

/** Rows `| 02 | fork | `files` | `functions` | `tests` | status |` of a Markdown text. */
export function parseSeries(markdown: string): SeriesRow[] {
  const rows: SeriesRow[] = [];
  for (const line of markdown.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    const [, patch, , files, functions, tests, status] = cells;
    if (patch === undefined || !/^\d\d$/.test(patch)) continue;
    rows.push({
      patch,
      files: codeSpans(files ?? ''),
      functions: codeSpans(functions ?? ''),
      tests: codeSpans(tests ?? ''),
      status: status ?? '',
    });
  }
  return rows;
}

/** Patch numbers tagged in a source text. */
export function patchTags(text: string): string[] {
  return [...text.matchAll(/@patch ([^\n*]+)/g)].flatMap((match) =>
    [...(match[1] ?? '').matchAll(/(\d\d)\/14/g)].map((number) => number[1] ?? ''),
  );
}

function defines(text: string, name: string): boolean {
  return new RegExp(`export (?:function|const|class) ${name}\\b`).test(text);
}

function checkRow(
  row: SeriesRow,
  sources: ReadonlyMap<string, string>,
  testExists: (path: string) => boolean,
): string[] {
  const problems: string[] = [];
  const problem = (text: string): void => void problems.push(`patch ${row.patch}: ${text}`);
  const planned = row.status.startsWith('planned');
  if (!/^(?:done$|partial: \S|planned)/.test(row.status)) {
    problem(`status is "${row.status}", want "done", "partial: what is missing" or "planned"`);
  }
  if (planned) return problems;
  for (const file of row.files) if (!sources.has(file)) problem(`no file src/${file}`);
  for (const name of row.functions) {
    if (!row.files.some((file) => defines(sources.get(file) ?? '', name)))
      problem(`none of its files exports ${name}`);
  }
  for (const test of row.tests) if (!testExists(test)) problem(`no test test/${test}`);
  if (row.tests.length === 0) problem(`is ${row.status} without a test`);
  if (!row.files.some((file) => patchTags(sources.get(file) ?? '').includes(row.patch))) {
    problem(`none of its files has the tag @patch ${row.patch}/14`);
  }
  return problems;
}

/** @returns one line for each disagreement between the table and the sources. */
export function checkSeries(
  markdown: string,
  sources: ReadonlyMap<string, string>,
  testExists: (path: string) => boolean,
): string[] {
  const rows = parseSeries(markdown);
  const problems: string[] = [];
  const want = Array.from({ length: PATCHES }, (_, index) => String(index + 1).padStart(2, '0'));
  const have = rows.map((row) => row.patch);
  if (have.join() !== want.join())
    problems.push(`rows are ${have.join(' ')}, want ${want.join(' ')}`);
  for (const row of rows) problems.push(...checkRow(row, sources, testExists));
  for (const [file, text] of sources) {
    for (const patch of new Set(patchTags(text))) {
      const row = rows.find((candidate) => candidate.patch === patch);
      if (row === undefined)
        problems.push(`src/${file}: @patch ${patch}/14 is no patch of the series`);
      else if (!row.files.includes(file))
        problems.push(`src/${file}: tagged @patch ${patch}/14, not in that row`);
    }
  }
  return problems;
}

/** Defects of the series' trees, and invariants, that a test must be named after. */
const PROOFS = [
  ...Array.from({ length: 18 }, (_, i) => `D${i + 1}`).toSpliced(4, 0, 'D4b'),
  ...Array.from({ length: 12 }, (_, i) => `I${i + 1}`),
];

/** Whether a test's name in `text` says `(name)`, alone or in a list. */
export function namesProof(text: string, name: string): boolean {
  return new RegExp(
    `\\b(?:it|describe)\\(\\s*['"\`][^\\n]*\\((?:[^()]*, )?${name}(?:, [^()]*)?\\)`,
  ).test(text);
}

/**
 * Checks the tables of defects and invariants: a row each, with tests named after it.
 * @param readTest the text of a path below test/, or undefined.
 */
export function checkProofs(
  markdown: string,
  readTest: (path: string) => string | undefined,
): string[] {
  const problems: string[] = [];
  const rows = new Map<string, string>();
  for (const line of markdown.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    if (/^[DI]\d+b?$/.test(cells[1] ?? '')) rows.set(cells[1]!, cells.at(-2) ?? '');
  }
  if ([...rows.keys()].join() !== PROOFS.join())
    problems.push(`rows are ${[...rows.keys()].join(' ')}, want ${PROOFS.join(' ')}`);
  for (const [name, cell] of rows) {
    const tests = codeSpans(cell);
    if (tests.length === 0) problems.push(`${name}: no test`);
    for (const test of tests) {
      if (!namesProof(readTest(test) ?? '', name))
        problems.push(`${name}: test/${test} has no test named (${name})`);
    }
  }
  return problems;
}

/** @returns the lines to print and whether all is well. */
export function seriesCheck(root: string): { ok: boolean; lines: string[] } {
  const src = join(root, 'src');
  const names = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const sources = new Map(
    names.map((name) => [name.split(sep).join('/'), readFileSync(join(src, name), 'utf8')]),
  );
  const markdown = readFileSync(join(root, 'docs', 'series.md'), 'utf8');
  const problems = checkSeries(markdown, sources, (path) => existsSync(join(root, 'test', path)));
  problems.push(
    ...checkProofs(markdown, (path) => {
      const file = join(root, 'test', path);
      return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
    }),
  );
  const rows = parseSeries(markdown);
  const count = (status: string): number =>
    rows.filter((row) => row.status.startsWith(status)).length;
  const summary = `${rows.length} rows: ${count('done')} done, ${count('partial')} partial, ${count('planned')} planned`;
  return { ok: problems.length === 0, lines: [...problems, summary] };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { ok, lines } = seriesCheck(process.cwd());
  for (const line of lines) console.log(line);
  process.exitCode = ok ? 0 : 1;
}
