/**
 * `npm run check`: everything that can be judged without running the program. Each step prints
 * its findings and one line of outcome; the last line counts the steps.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { layerCheck } from './check_layers.ts';
import { lockCheck } from './check_lock.ts';
import { seriesCheck } from './check_series.ts';

/** A file longer than this has two subjects. */
const MAX_LINES = 700;

interface Outcome {
  readonly ok: boolean;
  readonly lines: readonly string[];
}

const root = process.cwd();

/** A command: well when it ends with 0; its output is shown otherwise. */
function command(path: string, args: readonly string[]): Outcome {
  const run = spawnSync(path, args, { cwd: root, encoding: 'utf8' });
  const ok = run.status === 0;
  const output = `${run.stdout ?? ''}${run.stderr ?? ''}${run.error?.message ?? ''}`;
  return { ok, lines: ok ? [] : output.trimEnd().split('\n') };
}

/** A program of node_modules. */
function program(name: string, ...args: string[]): () => Outcome {
  return () => command(join(root, 'node_modules', '.bin', name), args);
}

/** A script beside this one. */
function script(name: string, ...args: string[]): () => Outcome {
  return () => command(process.execPath, ['--import', 'tsx', join('tools', name), ...args]);
}

function lengthCheck(): Outcome {
  const src = join(root, 'src');
  const names = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const lengths = names.map((name) => ({
    name,
    lines: readFileSync(join(src, name), 'utf8').split('\n').length - 1,
  }));
  const sorted = lengths.sort((a, b) => b.lines - a.lines);
  const long = sorted.filter(({ lines }) => lines > MAX_LINES);
  const total = lengths.reduce((sum, { lines }) => sum + lines, 0);
  const summary = `${names.length} files, ${total} lines, longest src/${sorted[0]?.name} with ${sorted[0]?.lines}`;
  return {
    ok: long.length === 0,
    lines: [
      ...long.map(({ name, lines }) => `src/${name}: ${lines} lines, at most ${MAX_LINES}`),
      summary,
    ],
  };
}

const STEPS: Readonly<Record<string, () => Outcome>> = {
  format: program(
    'biome',
    'ci',
    '--colors=off',
    '--error-on-warnings',
    '--max-diagnostics=60',
    '.',
  ),
  lint: program('oxlint', '--type-aware', '--deny-warnings', '.'),
  types: program('tsc', '-p', '.', '--pretty', 'false'),
  layers: () => layerCheck(root),
  series: () => seriesCheck(root),
  syscalls: script('gen_syscalls_doc.ts', '--check'),
  'dead code': program('knip', '--no-progress'),
  length: lengthCheck,
  lock: lockCheck,
};

function main(): void {
  const wanted = process.argv.slice(2);
  let failed = 0;
  let passed = 0;
  for (const [name, step] of Object.entries(STEPS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const start = performance.now();
    const { ok, lines } = step();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    for (const line of lines) console.log(`  ${line}`);
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
    if (ok) passed++;
    else failed++;
  }
  console.log(`${passed} passed, ${failed} failed, 0 skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}

main();
