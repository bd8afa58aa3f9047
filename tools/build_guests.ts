/**
 * Rebuilds the guest programs and compares them with the committed files.
 *
 *     npm run guests              rebuilds guest/bin
 *     npm run guests -- --check   only compares; the last line counts like a test run
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const GUEST = 'guest';
const COMPILER = 'riscv64-linux-gnu-gcc';
/** Compiler version the committed files were built with; another one may choose other code. */
const COMPILER_VERSION = '12.2.0';

function make(out: string): string | undefined {
  const run = spawnSync('make', ['-s', '-C', GUEST, `OUT=${out}`], { encoding: 'utf8' });
  return run.status === 0 ? undefined : `${run.stdout ?? ''}${run.stderr ?? run.error?.message}`;
}

function compilerVersion(): string | undefined {
  const run = spawnSync(COMPILER, ['-dumpfullversion'], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : undefined;
}

/** @returns names whose committed file differs from the one in `built`, is missing or is extra. */
function differences(built: string): { same: string[]; different: string[] } {
  const committed = join(GUEST, 'bin');
  const names = new Set([...readdirSync(committed), ...readdirSync(built)]);
  const same: string[] = [];
  const different: string[] = [];
  for (const name of [...names].sort()) {
    const [before, after] = [committed, built].map((folder) => {
      try {
        return readFileSync(join(folder, name));
      } catch {
        return undefined;
      }
    });
    const equal = before !== undefined && after !== undefined && before.equals(after);
    (equal ? same : different).push(name);
  }
  return { same, different };
}

function check(): number {
  const version = compilerVersion();
  if (version !== COMPILER_VERSION) {
    const found = version === undefined ? 'not installed' : version;
    console.log(`skipped: ${COMPILER} is ${found}, want ${COMPILER_VERSION}`);
    console.log('0 passed, 0 failed, 1 skipped');
    return 0;
  }
  const built = mkdtempSync(join(tmpdir(), 'cowshed-guests-'));
  try {
    const error = make(built);
    if (error !== undefined) throw new Error(`Cannot build the guests: ${error}`);
    const { same, different } = differences(built);
    for (const name of different)
      console.log(`FAILED guest/bin/${name} is not what its source builds`);
    console.log(`${same.length} passed, ${different.length} failed, 0 skipped`);
    return different.length === 0 ? 0 : 1;
  } finally {
    rmSync(built, { recursive: true, force: true });
  }
}

function main(): number {
  if (process.argv.includes('--check')) return check();
  const error = make('bin');
  if (error !== undefined) console.error(error);
  return error === undefined ? 0 : 1;
}

process.exitCode = main();
