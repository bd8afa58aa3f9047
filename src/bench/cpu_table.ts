/** The processor benchmark as a table, and the means that sum it up. */

import type { CpuBenchResult, CpuRow } from './cpu.ts';
import { geometricMean } from './stats.ts';
import { significant, textTable } from './table.ts';

/** Ratios of times: how many times native, how many times as fast as the other two. */
export interface CpuRatios {
  /** Time compiled to native time. */
  readonly toNative: number | null;
  /** qemu-user's time to time compiled: above 1 is faster than qemu-user. */
  readonly overQemu: number | null;
  /** The interpreter's time to time compiled. */
  readonly overInterp: number | null;
}

function quotient(a: number | null, b: number | null): number | null {
  return a === null || b === null || b === 0 ? null : a / b;
}

export function ratiosOf({ nativeMs, qemuMs, interpMs, jitMs }: CpuRow): CpuRatios {
  return {
    toNative: quotient(jitMs, nativeMs),
    overQemu: quotient(qemuMs, jitMs),
    overInterp: quotient(interpMs, jitMs),
  };
}

/** Rows that are summed up together. */
export interface CpuGroup {
  readonly name: 'integer kernels' | 'floating-point kernels' | 'workloads';
  readonly rows: readonly CpuRow[];
}

/** The groups that have rows. */
export function cpuGroups(rows: readonly CpuRow[]): CpuGroup[] {
  const groups: CpuGroup[] = [
    { name: 'integer kernels', rows: rows.filter((r) => r.kind === 'kernel' && !r.float) },
    { name: 'floating-point kernels', rows: rows.filter((r) => r.kind === 'kernel' && r.float) },
    { name: 'workloads', rows: rows.filter((r) => r.kind === 'workload') },
  ];
  return groups.filter((group) => group.rows.length > 0);
}

function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : geometricMean(known);
}

/** Geometric means over the rows that have the times. */
export function meanRatios(rows: readonly CpuRow[]): CpuRatios {
  const ratios = rows.map(ratiosOf);
  return {
    toNative: meanOf(ratios.map(({ toNative }) => toNative)),
    overQemu: meanOf(ratios.map(({ overQemu }) => overQemu)),
    overInterp: meanOf(ratios.map(({ overInterp }) => overInterp)),
  };
}

export const CPU_HEADER = [
  'name',
  'native',
  'qemu',
  'interpreter',
  'jit',
  'jit/native',
  'qemu/jit',
  'interp/jit',
  'MIPS',
  'result',
];

const ms = (value: number | null): string => (value === null ? '-' : `${significant(value)} ms`);
const times = (value: number | null): string => (value === null ? '-' : `${significant(value)}x`);
const ratioCells = ({ toNative, overQemu, overInterp }: CpuRatios): string[] =>
  [toNative, overQemu, overInterp].map(times);

/** Cells under CPU_HEADER: the rows of each group, then its means. */
export function cpuCells(rows: readonly CpuRow[]): string[][] {
  return cpuGroups(rows).flatMap((group) => [
    ...group.rows.map((row) => [
      row.name,
      ms(row.nativeMs),
      ms(row.qemuMs),
      ms(row.interpMs),
      ms(row.jitMs),
      ...ratioCells(ratiosOf(row)),
      significant(row.mips),
      row.ok ? 'same' : 'DIFFERS',
    ]),
    [`mean of ${group.name}`, '', '', '', '', ...ratioCells(meanRatios(group.rows)), '', ''],
  ]);
}

/** The table with geometric means below each group. */
export function formatCpuTable({ rows }: CpuBenchResult): string {
  return textTable(CPU_HEADER, cpuCells(rows));
}
