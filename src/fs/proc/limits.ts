/** /proc/PID/limits. @linux fs/proc/base.c:proc_pid_limits */

import type { Rlimits } from '../../kernel/task.ts';

/** Name and unit by RLIMIT_*. */
const LIMIT_NAMES: readonly (readonly [string, string])[] = [
  ['Max cpu time', 'seconds'],
  ['Max file size', 'bytes'],
  ['Max data size', 'bytes'],
  ['Max stack size', 'bytes'],
  ['Max core file size', 'bytes'],
  ['Max resident set', 'bytes'],
  ['Max processes', 'processes'],
  ['Max open files', 'files'],
  ['Max locked memory', 'bytes'],
  ['Max address space', 'bytes'],
  ['Max file locks', 'locks'],
  ['Max pending signals', 'signals'],
  ['Max msgqueue size', 'bytes'],
  ['Max nice priority', ''],
  ['Max realtime priority', ''],
  ['Max realtime timeout', 'us'],
];

function limit(value: number): string {
  return Number.isFinite(value) ? String(value) : 'unlimited';
}

function line(name: string, soft: string, hard: string, unit: string): string {
  return `${name.padEnd(25)} ${soft.padEnd(20)} ${hard.padEnd(20)} ${unit.padEnd(10)}\n`;
}

export function showLimits(limits: Rlimits): string {
  let text = line('Limit', 'Soft Limit', 'Hard Limit', 'Units');
  LIMIT_NAMES.forEach(([name, unit], which) => {
    const row = line(name, limit(limits.soft[which]!), limit(limits.hard[which]!), unit);
    // Linux pads no unit where there is none.
    text += unit === '' ? `${row.slice(0, -11)}\n` : row;
  });
  return text;
}
