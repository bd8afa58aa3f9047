/**
 * What the present bundle costs beside an older one: both run the same benches, turn by turn, so
 * that a slow minute of the host hits both.
 *
 *     npm run bench:compare -- --baseline DIR [--turns N] [--limit 1.05]
 *
 * DIR is a checkout of the older version with its bundle built, or that bundle's folder. Each
 * number is the best of all turns: other work on the host only adds time. With --limit the exit
 * code is 1 if a row of default fork costs more than that many times its baseline.
 */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FaultRow } from '../src/bench/fault.ts';
import type { FaultKindRow } from '../src/bench/fault_path.ts';
import type { ForkRow } from '../src/bench/fork.ts';
import { significant, textTable } from '../src/bench/table.ts';

const DEFAULT_TURNS = 8;
/** MiB; the founding document's small and large example. */
const FORK_SIZES = '0,64,1024';
const BENCHES = [
  ['fork', '--sizes', FORK_SIZES, '--rounds', '1'],
  ['fault', '--rounds', '1'],
] as const;

type Mode = ForkRow['mode'];

/** One number of a bench: nanoseconds. */
interface Sample {
  readonly what: string;
  readonly mode: Mode;
  readonly ns: number;
}

/** Best times of both bundles. */
interface Compared {
  readonly what: string;
  readonly mode: Mode;
  before: number;
  after: number;
}

function program(folder: string): string {
  const candidates = [join(folder, 'dist', 'cli.js'), join(folder, 'cli.js')];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined)
    throw new Error(`Cannot compare with "${folder}": it has no dist/cli.js, build it first`);
  return found;
}

function rowsOf<Row>(cli: string, args: readonly string[]): readonly Row[] {
  const command = [cli, 'bench', ...args, '--no-native', '--json'];
  const run = spawnSync(process.execPath, command, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0)
    throw new Error(`Cannot run "${command.join(' ')}": it ended with ${run.status}`);
  return (JSON.parse(run.stdout) as { rows: readonly Row[] }).rows;
}

/** All numbers of one turn of one bundle. */
function measure(cli: string): Sample[] {
  const [fork, fault] = BENCHES;
  const samples: Sample[] = [];
  for (const { mappedMiB, mode, forkUs, cycleUs } of rowsOf<ForkRow>(cli, fork)) {
    samples.push({ what: `fork ${mappedMiB} MiB`, mode, ns: forkUs.p50 * 1000 });
    samples.push({ what: `cycle ${mappedMiB} MiB`, mode, ns: cycleUs.p50 * 1000 });
  }
  for (const row of rowsOf<FaultRow | FaultKindRow>(cli, fault)) {
    const { mode } = row;
    if ('kind' in row) samples.push({ what: `fault, ${row.kind}`, mode, ns: row.p50Ns });
    else samples.push({ what: `write, ${row.pattern}`, mode, ns: row.perPageNs });
  }
  return samples;
}

function keepBest(
  rows: Map<string, Compared>,
  samples: readonly Sample[],
  side: 'before' | 'after',
): void {
  for (const { what, mode, ns } of samples) {
    const key = `${mode} ${what}`;
    let row = rows.get(key);
    if (row === undefined) {
      row = { what, mode, before: Number.POSITIVE_INFINITY, after: Number.POSITIVE_INFINITY };
      rows.set(key, row);
    }
    row[side] = Math.min(row[side], ns);
  }
}

function compare(before: string, after: string, turns: number): Compared[] {
  const rows = new Map<string, Compared>();
  for (let turn = 0; turn < turns; turn++) {
    console.error(`turn ${turn + 1} of ${turns}`);
    const order = turn % 2 === 0 ? (['before', 'after'] as const) : (['after', 'before'] as const);
    for (const side of order) keepBest(rows, measure(side === 'before' ? before : after), side);
  }
  return [...rows.values()].sort((a, b) => b.mode.localeCompare(a.mode));
}

function print(rows: readonly Compared[]): void {
  const ns = (value: number): string =>
    value < 10_000 ? `${significant(value)} ns` : `${significant(value / 1000)} us`;
  const cells = rows.map(({ what, mode, before, after }) => [
    mode,
    what,
    ns(before),
    ns(after),
    `${(after / before).toFixed(3)}x`,
  ]);
  process.stdout.write(textTable(['mode', 'what', 'before', 'after', 'ratio'], cells));
}

function main(): void {
  const { values } = parseArgs({
    options: {
      baseline: { type: 'string' },
      turns: { type: 'string' },
      limit: { type: 'string' },
    },
  });
  if (values.baseline === undefined)
    throw new Error('Cannot compare: name the older checkout with --baseline DIR');
  const turns = Number(values.turns ?? DEFAULT_TURNS);
  const rows = compare(program(values.baseline), program('.'), turns);
  print(rows);
  if (values.limit === undefined) return;
  const limit = Number(values.limit);
  const slow = rows.filter((row) => row.mode === 'default' && row.after > row.before * limit);
  for (const { what } of slow) console.log(`slower than ${limit}x: default fork, ${what}`);
  process.exitCode = slow.length > 0 ? 1 : 0;
}

main();
