/**
 * Renders bench/results/*.json into the measured tables of README.md, between the two marker
 * comments. `npm run readme-table` after `npm run bench`.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BreakRow } from '../src/bench/break.ts';
import type { CpuRow } from '../src/bench/cpu.ts';
import { cpuGroups, meanRatios } from '../src/bench/cpu_table.ts';
import type { FaultRow } from '../src/bench/fault.ts';
import type { ForkRow } from '../src/bench/fork.ts';
import { ratioOf, significant } from '../src/bench/table.ts';

const START = '<!-- measured: start, written by npm run readme-table -->';
const END = '<!-- measured: end -->';
const MODES = ['native', 'default', 'cow-pte'] as const;

type Mode = (typeof MODES)[number];

export interface Results {
  readonly fork: readonly ForkRow[];
  readonly fault: readonly FaultRow[];
  readonly break: readonly BreakRow[];
  readonly cpu: readonly CpuRow[];
}

function duration(us: number | undefined): string {
  if (us === undefined) return '-';
  return us >= 1000 ? `${significant(us / 1000)} ms` : `${significant(us)} us`;
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** What was mapped: a size, and whether it was only read. */
function sizeOf({ mappedMiB, pages }: ForkRow): string {
  const size =
    mappedMiB > 1024 && mappedMiB % 1024 === 0 ? `${mappedMiB / 1024} GiB` : `${mappedMiB} MiB`;
  return pages === 'zero' ? `${size}, only read` : size;
}

function forkTable(rows: readonly ForkRow[]): string[] {
  const sizes = [...new Set(rows.map(sizeOf))];
  const find = (size: string, mode: Mode): ForkRow | undefined =>
    rows.find((row) => sizeOf(row) === size && row.mode === mode);
  const lines = sizes.map((size) => {
    const [native, copied, shared] = MODES.map((mode) => find(size, mode)?.forkUs.p50);
    const ratio = native === undefined || shared === undefined ? '-' : ratioOf(shared, native);
    return line([size, duration(native), duration(copied), duration(shared), ratio]);
  });
  const header = ['mapped', 'native', 'default fork', 'COW PTE', 'COW PTE / native'];
  return [line(header), '|---|---|---|---|---|', ...lines];
}

function largest(rows: readonly ForkRow[], mode: Mode): ForkRow | undefined {
  const ofMode = rows.filter((row) => row.mode === mode && row.pages === 'anon');
  return ofMode.sort((a, b) => b.mappedMiB - a.mappedMiB)[0];
}

function otherTable({ fork, fault, break: breaks }: Results): string[] {
  const forkCells = (pick: (row: ForkRow) => string): string[] =>
    MODES.map((mode) => {
      const row = largest(fork, mode);
      return row === undefined ? '-' : pick(row);
    });
  const faultCells = (pattern: FaultRow['pattern']): string[] =>
    MODES.map((mode) => {
      const row = fault.find((one) => one.mode === mode && one.pattern === pattern);
      return row === undefined ? '-' : `${significant(row.perPageNs)} ns`;
    });
  const breakCells = (how: BreakRow['how']): string[] =>
    MODES.map((mode) => {
      const row = breaks.find((one) => one.mode === mode && one.how === how);
      return row === undefined || mode !== 'cow-pte' ? '-' : duration(row.breakNs / 1000);
    });
  const mib = largest(fork, 'cow-pte')?.mappedMiB ?? 0;
  const of = `${mib} MiB`;
  return [
    line(['', 'native', 'default fork', 'COW PTE', 'founding document']),
    '|---|---|---|---|---|',
    line([`fork + exit + wait, ${of}`, ...forkCells(({ cycleUs }) => duration(cycleUs.p50)), '']),
    line([
      `child's VmPTE, ${of}`,
      ...forkCells(({ childVmPteKiB }) => `${childVmPteKiB} kB`),
      '2096 -> 44 kB',
    ]),
    line(['write after fork, in order', ...faultCells('sequential'), '770 -> 795 ns']),
    line(['write after fork, random', ...faultCells('random'), '26 -> 29 ns']),
    line(['a table of 512 pages broken by copying', ...breakCells('copy'), '']),
    line(['a table taken over', ...breakCells('takeover'), '']),
  ];
}

/** How many times as long, or as fast; a dash where it was not measured. */
function times(value: number | null): string {
  return value === null ? '-' : `${significant(value)}x`;
}

function cpuTable(rows: readonly CpuRow[]): string[] {
  const header = ['processor, geometric means', 'native time', "qemu-user's speed", 'interpreter'];
  const lines = cpuGroups(rows).map((group) => {
    const { toNative, overQemu, overInterp } = meanRatios(group.rows);
    const name = `${group.rows.length} ${group.name}`;
    return line([name, times(toNative), times(overQemu), times(overInterp)]);
  });
  return [line(header), '|---|---|---|---|', ...lines];
}

/** The measured part of README.md as Markdown lines. */
export function renderResults(results: Results): string[] {
  return [
    'Median `fork()` by mapped memory:',
    '',
    ...forkTable(results.fork),
    '',
    ...otherTable(results),
    '',
    ...cpuTable(results.cpu),
  ];
}

/** Replaces what stands between the markers. */
export function replaceMeasured(readme: string, lines: readonly string[]): string {
  const start = readme.indexOf(START);
  const end = readme.indexOf(END);
  if (start < 0 || end < start) throw new Error('Cannot write README.md: its markers are missing');
  return `${readme.slice(0, start)}${START}\n${lines.join('\n')}\n${readme.slice(end)}`;
}

function readRows<Row>(name: string): readonly Row[] {
  const text = readFileSync(join('bench', 'results', `${name}.json`), 'utf8');
  return (JSON.parse(text) as { rows: readonly Row[] }).rows;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results: Results = {
    fork: readRows('fork'),
    fault: readRows('fault'),
    break: readRows('break'),
    cpu: readRows('cpu'),
  };
  const readme = readFileSync('README.md', 'utf8');
  writeFileSync('README.md', replaceMeasured(readme, renderResults(results)));
}
