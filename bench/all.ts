/**
 * Runs the benches of the shipped bundle, one process each, and stores their JSON and their pages
 * in bench/results/, where tools/readme_table.ts reads the JSON.
 *
 *     npm run bench [-- fork fault break cpu]
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PROGRAM = join('dist', 'cli.js');
const RESULTS = join('bench', 'results');
const BENCHES = ['fork', 'fault', 'break', 'cpu'];

function runBench(name: string): void {
  const page = join(RESULTS, `${name}.html`);
  const run = spawnSync(process.execPath, [PROGRAM, 'bench', name, '--json', '--html', page], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`Cannot run bench ${name}: it ended with ${run.status}`);
  const path = join(RESULTS, `${name}.json`);
  writeFileSync(path, `${JSON.stringify(JSON.parse(run.stdout), null, 1)}\n`);
  console.log(`wrote ${path} and ${page}`);
}

const wanted = process.argv.slice(2);
mkdirSync(RESULTS, { recursive: true });
for (const name of wanted.length > 0 ? wanted : BENCHES) runBench(name);
