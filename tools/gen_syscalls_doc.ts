/**
 * Writes docs/syscalls.md from the system call table: what is implemented, and what is not
 * finished about it. `--check` only compares.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SYSCALLS } from '../src/syscalls/table.ts';

const DOC = join('docs', 'syscalls.md');

interface SyscallRow {
  readonly nr: number;
  readonly name: string;
  /** What is missing; empty for a complete call. */
  readonly missing: string;
}

function tableRows(): SyscallRow[] {
  return SYSCALLS.map((entry, nr) => ({
    nr,
    name: entry?.name ?? '',
    missing: entry?.partial ?? '',
  })).filter(({ name }) => name !== '');
}

/** The document as Markdown. */
export function renderSyscalls(rows: readonly SyscallRow[]): string {
  const partial = rows.filter((row) => row.missing !== '').length;
  const lines = rows.map(
    ({ nr, name, missing }) =>
      `| ${nr} | \`${name}\` | ${missing === '' ? 'yes' : `partly: ${missing}`} |`,
  );
  return [
    '# System calls',
    '',
    'Generated from `src/syscalls/table.ts` by `npm run syscalls-doc`; do not edit.',
    '',
    `${rows.length} riscv64 system calls, ${partial} of them with a limit that is named here. Any other number returns`,
    '`-ENOSYS` and is listed by `--strace`.',
    '',
    '| number | call | implemented |',
    '|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}

/** @returns the lines to print and whether the committed document is the generated one. */
export function syscallsDocCheck(root: string): { ok: boolean; lines: string[] } {
  const path = join(root, DOC);
  const committed = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const rows = tableRows();
  const ok = committed === renderSyscalls(rows);
  return {
    ok,
    lines: ok ? [`${rows.length} calls`] : [`${DOC} is stale: run npm run syscalls-doc`],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(DOC, renderSyscalls(tableRows()));
}
