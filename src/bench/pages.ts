/** Which plots each bench's page has. */

import type { BreakBenchResult, BreakRow } from './break.ts';
import type { CloneBenchResult } from './clone.ts';
import type { CpuBenchResult, CpuRow } from './cpu.ts';
import { cpuGroups, meanRatios, ratiosOf } from './cpu_table.ts';
import type { FaultBenchResult, FaultRow } from './fault.ts';
import { type FaultKindRow, TITLES } from './fault_path.ts';
import type { ForkBenchResult, ForkRow } from './fork.ts';
import type { Page, Section } from './html_page.ts';
import type { BenchMode } from './line_program.ts';
import { type Plot, type Series, barPlot, dotPlot, linePlot } from './plot.ts';
import { significant } from './table.ts';

/** What a page says besides its plots. */
type PageBody = Omit<Page, 'rows' | 'table'>;

const MODES: readonly (readonly [name: BenchMode['name'], label: string])[] = [
  ['native', 'native'],
  ['default', 'default fork'],
  ['cow-pte', 'COW PTE'],
];

const SIDE_BY_SIDE =
  'The same C program on this host’s kernel, in a machine whose fork copies page tables, and in one whose fork shares them. Modes alternate in every round.';

/** Series of the three modes, without those that have no value at all. */
function modeSeries<Row extends { readonly mode: BenchMode['name'] }>(
  rows: readonly Row[],
  labels: readonly string[],
  labelOf: (row: Row) => string,
  value: (row: Row) => number,
): Series[] {
  const all = MODES.map(([name, label]) => ({
    name,
    label,
    values: labels.map((wanted) => {
      const row = rows.find((one) => one.mode === name && labelOf(one) === wanted);
      return row === undefined ? null : value(row);
    }),
  }));
  return all.filter(({ values }) => values.some((one) => one !== null));
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

/** A plot of the three modes; labels come in the order of the rows. */
function modePlot<Row extends { readonly mode: BenchMode['name'] }>(
  plot: Pick<Plot, 'title' | 'unit' | 'scale'>,
  rows: readonly Row[],
  labelOf: (row: Row) => string,
  value: (row: Row) => number,
): Plot {
  const labels = unique(rows.map(labelOf));
  return { ...plot, labels, series: modeSeries(rows, labels, labelOf, value) };
}

function skippedNotes(skipped: string | undefined): string[] {
  return skipped === undefined ? [] : [`native rows left out: ${skipped}`];
}

function sizeLabel({ mappedMiB }: ForkRow): string {
  return mappedMiB >= 1024 ? `${mappedMiB / 1024} GiB` : `${mappedMiB} MiB`;
}

function forkSections(rows: readonly ForkRow[], what: string): Section[] {
  if (rows.length === 0) return [];
  const time = (title: string, value: (row: ForkRow) => number): string =>
    linePlot(modePlot({ title, unit: 'µs, log scale', scale: 'log' }, rows, sizeLabel, value));
  const tables = { title: 'VmPTE of the child', unit: 'KiB', scale: 'linear' as const };
  return [
    {
      title: `fork() with ${what}`,
      text: 'Median time in the parent, by mapped memory.',
      plots: [time('fork', ({ forkUs }) => forkUs.p50)],
    },
    {
      title: `fork + exit + wait with ${what}`,
      text: 'Median of the whole cycle; the child ends at once.',
      plots: [time('cycle', ({ cycleUs }) => cycleUs.p50)],
    },
    {
      title: `Page tables of the child with ${what}`,
      text: 'What the child reads as VmPTE in its own /proc/self/status. A shared table counts for one process only.',
      plots: [barPlot(modePlot(tables, rows, sizeLabel, ({ childVmPteKiB }) => childVmPteKiB))],
    },
  ];
}

export function forkPage({ rows, skipped }: ForkBenchResult): PageBody {
  return {
    title: 'cowshed bench fork',
    text: SIDE_BY_SIDE,
    notes: skippedNotes(skipped),
    sections: [
      ...forkSections(
        rows.filter(({ pages }) => pages === 'anon'),
        'written memory',
      ),
      ...forkSections(
        rows.filter(({ pages }) => pages === 'zero'),
        'memory that was only read',
      ),
    ],
  };
}

const PATTERN_LABELS = { sequential: 'every page in order', random: 'random pages' } as const;

export function faultPage({ rows, skipped }: FaultBenchResult): PageBody {
  const writes = rows.filter((row): row is FaultRow => 'pattern' in row);
  const kinds = rows.filter((row): row is FaultKindRow => 'kind' in row);
  const patterns = unique(writes.map(({ pattern }) => pattern));
  const sections: Section[] = patterns.map((pattern) => ({
    title: `A write after fork(): ${PATTERN_LABELS[pattern as FaultRow['pattern']]}`,
    text: 'The child still holds the memory. Best of the rounds.',
    plots: [
      barPlot(
        modePlot(
          { title: pattern, unit: 'ns a write', scale: 'linear' },
          writes.filter((row) => row.pattern === pattern),
          (row) => row.pattern,
          ({ perPageNs }) => perPageNs,
        ),
      ),
    ],
  }));
  const plot = { title: 'kinds of faults', unit: 'ns', scale: 'linear' as const };
  const byKind = modePlot(
    plot,
    kinds,
    ({ kind }) => TITLES[kind],
    ({ p50Ns }) => p50Ns,
  );
  const kindSection: Section = {
    title: 'One fault of each kind',
    text: 'Median; 511 faults are timed together, end to end.',
    plots: [barPlot(byKind)],
  };
  return {
    title: 'cowshed bench fault',
    text: SIDE_BY_SIDE,
    notes: skippedNotes(skipped),
    sections: kinds.length === 0 ? sections : [...sections, kindSection],
  };
}

const HOW_LABELS = { copy: 'by copying', takeover: 'by taking over' } as const;

export function breakPage({ rows, skipped }: BreakBenchResult): PageBody {
  const plotOf = (title: string, value: (row: BreakRow) => number): string =>
    barPlot(
      modePlot({ title, unit: 'ns', scale: 'linear' }, rows, ({ how }) => HOW_LABELS[how], value),
    );
  return {
    title: 'cowshed bench break',
    text: SIDE_BY_SIDE,
    notes: skippedNotes(skipped),
    sections: [
      {
        title: 'The first write to a table’s memory after fork()',
        text: 'With COW PTE it makes the table private: by copying it while the child lives, by taking it over when nobody else has it any more.',
        plots: [plotOf('first write', ({ firstNs }) => firstNs)],
      },
      {
        title: 'What the break alone costs',
        text: 'The first write less a write to another page of the same table. Natively and with default fork this is what else a first write costs.',
        plots: [plotOf('the break', ({ breakNs }) => Math.max(breakNs, 0))],
      },
    ],
  };
}

const CPU_SERIES = [
  ['native', 'native', ({ nativeMs }: CpuRow) => nativeMs],
  ['qemu', 'qemu-user', ({ qemuMs }: CpuRow) => qemuMs],
  ['interp', 'interpreter', ({ interpMs }: CpuRow) => interpMs],
  ['jit', 'JIT', ({ jitMs }: CpuRow) => jitMs],
] as const;

function timePlot(title: string, rows: readonly CpuRow[]): string {
  const all = CPU_SERIES.map(([name, label, time]) => ({ name, label, values: rows.map(time) }));
  const series = all.filter(({ values }) => values.some((value) => value !== null));
  const labels = rows.map(({ name }) => name);
  return dotPlot({ title, unit: 'ms, log scale', scale: 'log', labels, series });
}

/** How fast compiled code is beside each of the others; longer is faster. */
function speedPlot(rows: readonly CpuRow[]): string {
  const ratios = rows.map(ratiosOf);
  const inverse = (value: number | null): number | null => (value === null ? null : 1 / value);
  const all: Series[] = [
    { name: 'native', label: 'beside native', values: ratios.map((r) => inverse(r.toNative)) },
    { name: 'qemu', label: 'beside qemu-user', values: ratios.map((r) => r.overQemu) },
    { name: 'interp', label: 'beside the interpreter', values: ratios.map((r) => r.overInterp) },
  ];
  const series = all.filter(({ values }) => values.some((value) => value !== null));
  const labels = rows.map(({ name }) => name);
  const plot = { title: 'speed of the JIT', unit: 'times as fast', reference: 1 };
  return dotPlot({ ...plot, scale: 'log', labels, series });
}

function meansText(rows: readonly CpuRow[]): string {
  const { toNative, overQemu, overInterp } = meanRatios(rows);
  const parts = [
    toNative === null ? '' : `${significant(toNative)} times native time`,
    overQemu === null ? '' : `${significant(overQemu)} times qemu-user’s speed`,
    overInterp === null ? '' : `${significant(overInterp)} times the interpreter’s`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : `JIT, geometric means: ${parts.join(', ')}.`;
}

export function cpuPage({ rows, notes }: CpuBenchResult): PageBody {
  const different = rows.filter(({ ok }) => !ok).map(({ name }) => `${name}: results differ`);
  return {
    title: 'cowshed bench cpu',
    text: 'The same program built for this host, its riscv64 binary under qemu-user, interpreted, and compiled to WebAssembly. Each run is a process of its own; modes alternate, medians count. Kernels time themselves, compilation included; workloads are timed from start to end.',
    notes: [...notes, ...different],
    sections: cpuGroups(rows).flatMap((group): Section[] => [
      {
        title: `Time of ${group.name}`,
        text: 'Further left is faster; each line spans a row’s modes.',
        plots: [timePlot(`time of ${group.name}`, group.rows)],
      },
      {
        title: `Speed of the JIT on ${group.name}`,
        text: `Right of the dashed line the JIT is faster. ${meansText(group.rows)}`,
        plots: [speedPlot(group.rows)],
      },
    ]),
  };
}

/** The first run and one clone in each row; the series are named after colours that fit. */
export function clonePage({ rows }: CloneBenchResult): PageBody {
  const labels = rows.map(({ how }) => (how === 'fork' ? 'fork() in the guest' : 'Process.fork()'));
  const series: Series[] = [
    { name: 'native', label: 'first run', values: rows.map(({ firstRunMs }) => firstRunMs) },
    { name: 'interp', label: 'clone, p99', values: rows.map(({ cloneMs }) => cloneMs.p99) },
    { name: 'jit', label: 'clone, median', values: rows.map(({ cloneMs }) => cloneMs.p50) },
  ];
  const regions: Series[] = [
    { name: 'native', label: 'before', values: rows.map(({ regionsBefore }) => regionsBefore) },
    { name: 'jit', label: 'after', values: rows.map(({ regionsAfter }) => regionsAfter) },
  ];
  const time: Plot = { title: 'time', unit: 'ms, log scale', scale: 'log', labels, series };
  const count: Plot = { title: 'regions', unit: '', scale: 'linear', labels, series: regions };
  const counted: Section = {
    title: 'Compiled regions',
    text: 'When the program was warm, and after all its clones: a clone compiles nothing.',
    plots: [barPlot(count)],
  };
  return {
    title: 'cowshed bench clone',
    text: 'python3 answers expressions until its code is compiled; then each clone evaluates one and ends.',
    notes: rows.filter(({ ok }) => !ok).map(({ how }) => `${how}: clones compiled code`),
    sections: [
      {
        title: 'A clone beside the first run',
        text: 'The first run is from spawn() to its first answer; a clone is from the fork to its end.',
        plots: [dotPlot(time)],
      },
      ...(rows.some(({ regionsBefore }) => regionsBefore !== null) ? [counted] : []),
    ],
  };
}
