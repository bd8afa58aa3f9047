/** What the cases of bad input have in common: a machine that must stay whole, and the table. */

import assert from 'node:assert/strict';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { runGuest } from '../guest.ts';
import type { CliRun } from './cli.ts';

/** What bad input led to. */
interface Row {
  readonly what: string;
  /** errno, signal or exit code. */
  readonly outcome: string;
  /** The one line that was printed; empty when the program itself was told. */
  readonly line: string;
}

/** Rows in the order of the cases, whatever order they end in. */
export class BadInputTable {
  private readonly rows = new Map<string, Row>();

  add(what: string, outcome: string, line = ''): void {
    const known = this.rows.get(what);
    const outcomes = new Set(known?.outcome.split(', '));
    this.rows.set(what, {
      what,
      outcome: [...outcomes.add(outcome)].join(', '),
      line: line === '' ? (known?.line ?? '') : line,
    });
  }

  /** `case | outcome | line`. */
  print(): void {
    const rows = [{ what: 'case', outcome: 'outcome', line: 'line' }, ...this.rows.values()];
    const width = (key: 'what' | 'outcome'): number =>
      Math.max(...rows.map((row) => row[key].length));
    for (const { what, outcome, line } of rows) {
      console.log(
        `${what.padEnd(width('what'))} | ${outcome.padEnd(width('outcome'))} | ${line}`.trimEnd(),
      );
    }
  }
}

/** Lets the event loop reap what has ended. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Runs `body` on a machine, then asserts that no frame has leaked, that the page tables add up,
 * and that the machine still runs programs.
 */
export async function onWholeMachine(
  options: MachineOptions,
  body: (machine: Machine) => void | Promise<void>,
): Promise<void> {
  const machine = await Machine.create(options);
  try {
    assert.equal(machine.leakedFrames(), 0);
    await body(machine);
    const after = await runGuest(machine, 'hello');
    assert.deepEqual([after.code, after.stdout], [0, 'hello from riscv64\n']);
    await settle();
    assert.equal(machine.leakedFrames(), 0, 'frames leaked');
    assert.equal(machine.internals.tasks.size, 0, 'tasks left');
    checkPageTables(machine.internals.pgdat);
  } finally {
    await machine.dispose();
  }
}

/** Asserts that the command said one line, without a stack trace. @returns the line. */
export function onlyLine(run: CliRun): string {
  assert.match(run.stderr, /^cowshed: [^\n]+\n$/, run.stderr);
  assert.equal(run.stdout, '');
  return run.stderr.trimEnd();
}
