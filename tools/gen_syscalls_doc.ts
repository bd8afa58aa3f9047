/**
 * Writes docs/syscalls.md from the system call table: what is implemented, what is not finished
 * about it, and what answers -ENOSYS.
 *
 *     npm run syscalls-doc              writes the document
 *     npm run syscalls-doc -- --check   only compares
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SYSCALLS } from '../src/syscalls/table.ts';

const DOC = join('docs', 'syscalls.md');

function renderSyscalls(rows: typeof SYSCALLS): string {
  const present = rows.filter(({ status }) => status !== 'absent');
  const partial = present.filter(({ status }) => status === 'partial');
  const absent = rows.filter(({ status }) => status === 'absent');
  return [
    '# System calls',
    '',
    'Generated from `src/syscalls/table.ts` by `npm run syscalls-doc`; do not edit.',
    '',
    `${present.length} of riscv64's ${rows.length} system calls are implemented, ${partial.length} of them with a limit named here.`,
    'Any other number returns -ENOSYS and is listed by `--strace`.',
    '',
    '| number | call | implemented |',
    '|---|---|---|',
    ...present.map(
      ({ nr, name, note }) =>
        `| ${nr} | \`${name}\` | ${note === '' ? 'yes' : `partly: ${note}`} |`,
    ),
    '',
    '## -ENOSYS',
    '',
    `${absent.map(({ name }) => `\`${name}\``).join(', ')}.`,
    '',
  ].join('\n');
}

function main(): number {
  const text = renderSyscalls(SYSCALLS);
  if (!process.argv.includes('--check')) {
    writeFileSync(DOC, text);
    return 0;
  }
  if (existsSync(DOC) && readFileSync(DOC, 'utf8') === text) return 0;
  console.log(`${DOC} is stale: run npm run syscalls-doc`);
  return 1;
}

process.exitCode = main();
