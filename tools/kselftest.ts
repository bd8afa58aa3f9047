/**
 * Runs the Linux kernel's own mm self tests, unmodified, as riscv64 programs in cowshed, with
 * COW page tables on and off; and for comparison on this host's kernel and under qemu's user mode.
 *
 *     npm run test:kselftest                      the programs that must pass
 *     npm run test:kselftest -- cow mremap_test   these programs
 *     npm run test:kselftest -- all               also those whose subsystem is not there
 *
 * docs/kselftest.md describes flags and what is compared. The last line counts the subtests of
 * cowshed's runs; the exit code is 0 only if none failed and the two runs agree.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { ProgressDisplay } from '../src/cli/progress.ts';
import { DebianError } from '../src/debian/error.ts';
import { buildPrograms, compilerVersion, type Build } from './kselftest/build.ts';
import { binariesOf, choosePrograms, programName, type Program } from './kselftest/programs.ts';
import { findQemu, runProgram, type Place, type Run } from './kselftest/run.ts';
import { kernelSource, type KernelSource } from './kselftest/source.ts';
import { markdownTable, plainTable, reasonsOf, type ProgramResult } from './kselftest/table.ts';
import { countOutcomes, firstDifference, judge } from './kselftest/tap.ts';

const WORK_DIR = join(process.cwd(), '.cache', 'kselftest');
const DOCUMENT = 'docs/kselftest.md';
const TABLE_MARK = /(<!-- results -->\n)[\s\S]*?(<!-- end of results -->)/;
const DEFAULT_LIMIT_S = 240;
/** Some tests never end under qemu's user mode. */
const QEMU_LIMIT_S = 40;
const PLACES: Readonly<Record<string, readonly Place[]>> = {
  cowshed: ['cow-pte', 'default'],
  'cow-pte': ['cow-pte'],
  default: ['default'],
  host: ['host'],
  qemu: ['qemu'],
};

interface Flags {
  readonly only?: string;
  readonly verbose?: boolean;
  readonly json?: string;
  readonly markdown?: boolean;
  readonly mirror?: string;
  readonly update?: boolean;
  readonly allowExpired?: boolean;
  readonly limit: string;
}

/** What can be run: its source, and the programs built for it. */
interface Suite {
  readonly source: KernelSource;
  readonly builds: ReadonlyMap<'riscv64' | 'native', Build>;
  readonly places: readonly Place[];
}

/** Prints why nothing was run; CI counts it as one skipped suite. */
function skipAll(reason: string): void {
  console.log(`skipped: ${reason}`);
  console.log('0 passed, 0 failed, 1 skipped');
}

function wantedPlaces(only: string | undefined): readonly Place[] {
  if (only === undefined) return ['cow-pte', 'default', 'host', 'qemu'];
  return only.split(',').flatMap((word) => PLACES[word] ?? []);
}

/** Leaves out, with a reason, what this host lacks. */
function possiblePlaces(only: string | undefined): Place[] {
  return wantedPlaces(only).filter((place) => {
    const native =
      place === 'host' && (process.platform !== 'linux' || compilerVersion('native') === undefined);
    const reason =
      (native && 'no Linux with gcc') ||
      (place === 'qemu' && findQemu() === null && 'no qemu-riscv64');
    if (reason !== false) console.log(`not run: ${place}: ${reason}`);
    return reason === false;
  });
}

async function prepare(programs: readonly Program[], flags: Flags): Promise<Suite> {
  const report = new ProgressDisplay(process.stderr, false);
  const { mirror, update = false, allowExpired = false } = flags;
  const source = await kernelSource({
    mirror,
    update,
    allowExpired,
    report,
    env: process.env,
    workDir: WORK_DIR,
  });
  const places = possiblePlaces(flags.only);
  const names = binariesOf(programs);
  const builds = new Map<'riscv64' | 'native', Build>();
  if (places.some((place) => place !== 'host'))
    builds.set('riscv64', buildPrograms(source, 'riscv64', names, WORK_DIR, report));
  if (places.includes('host'))
    builds.set('native', buildPrograms(source, 'native', names, WORK_DIR, report));
  return { source, builds, places };
}

/** Runs one program everywhere. */
async function runEverywhere(program: Program, suite: Suite, flags: Flags): Promise<ProgramResult> {
  const name = programName(program);
  const verdicts: ProgramResult['verdicts'] = {};
  const runs = new Map<Place, Run>();
  for (const place of suite.places) {
    const build = suite.builds.get(place === 'host' ? 'native' : 'riscv64');
    if (build === undefined) continue;
    if (build.missing.includes(program.binary)) {
      // Not a skip: what cannot be built is not tested.
      const ending = { code: null, killed: `not built: see ${build.dir}/make.log` };
      Object.assign(verdicts, { [place]: judge(name, '', ending) });
      continue;
    }
    const limit = place === 'qemu' ? QEMU_LIMIT_S : Number(flags.limit);
    const run = await runProgram(place, build.dir, program, limit);
    const verdict = judge(name, run.output, run);
    runs.set(place, run);
    Object.assign(verdicts, { [place]: verdict });
    if (flags.verbose === true) console.log(`---- ${name} (${place})\n${run.output}`);
    const { pass, xfail, skip, fail } = countOutcomes(verdict.tests);
    const counts = `${pass} pass, ${xfail} xfail, ${skip} skip, ${fail} fail of ${verdict.planned}`;
    console.log(`${name} (${place}): ${counts} (${run.seconds.toFixed(1)} s)`);
    if (place !== 'cow-pte' && place !== 'default') continue;
    for (const line of reasonsOf(verdict.tests, 'fail')) console.log(`  FAILED ${line}`);
  }
  const [shared, copied] = [runs.get('cow-pte'), runs.get('default')];
  const difference =
    shared === undefined || copied === undefined
      ? null
      : (firstDifference(shared.stdout, copied.stdout) ??
        firstDifference(shared.stderr, copied.stderr));
  if (difference !== null) {
    console.log(`  FAILED ${name}: the two runs of cowshed differ:`);
    console.log(`    with COW page tables:    ${difference[0]}`);
    console.log(`    without:                 ${difference[1]}`);
  }
  return { name, verdicts, difference };
}

function skipLines(results: readonly ProgramResult[]): string[] {
  return results.flatMap(({ name, verdicts }) => {
    const verdict = verdicts['cow-pte'] ?? verdicts.default;
    return reasonsOf(verdict?.tests ?? [], 'skip').map((line) => `${name}: ${line}`);
  });
}

/** Adds up the subtests of cowshed's runs; that both print the same is one more of each program. */
function totals(results: readonly ProgramResult[]): {
  passed: number;
  failed: number;
  skipped: number;
} {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { verdicts, difference } of results) {
    for (const verdict of [verdicts['cow-pte'], verdicts.default]) {
      const counts = countOutcomes(verdict?.tests ?? []);
      sum.passed += counts.pass + counts.xfail;
      sum.failed += counts.fail;
      sum.skipped += counts.skip;
    }
    if (verdicts['cow-pte'] === undefined || verdicts.default === undefined) continue;
    if (difference === null) sum.passed++;
    else sum.failed++;
  }
  return sum;
}

/** Writes the table into the document. */
function updateDocument(suite: Suite, results: readonly ProgramResult[]): void {
  const skips = skipLines(results).map((line) => `- ${line}`);
  const text = [
    `Linux ${suite.source.version.replace(/-.*/, '')} (linux-source ${suite.source.version}):`,
    '',
    markdownTable(results, suite.places),
    '',
    'Skipped in cowshed, with reasons:',
    '',
    ...(skips.length === 0 ? ['- nothing'] : skips),
    '',
  ].join('\n');
  const document = readFileSync(DOCUMENT, 'utf8');
  writeFileSync(
    DOCUMENT,
    document.replace(TABLE_MARK, (_, begin, end) => `${begin}\n${text}\n${end}`),
  );
}

async function main(words: readonly string[], flags: Flags): Promise<void> {
  const programs = choosePrograms(words);
  if (typeof programs === 'string') throw new Error(`Cannot run "${programs}": no such self test`);
  if (wantedPlaces(flags.only).length === 0)
    throw new Error(`Cannot run only "${flags.only}": want ${Object.keys(PLACES).join(', ')}`);
  if (compilerVersion('riscv64') === undefined)
    return skipAll('no riscv64-linux-gnu-gcc with a C library');
  for (const tool of ['make', 'xz', 'bash'])
    if (spawnSync(tool, ['--version']).status !== 0) return skipAll(`no ${tool}`);
  let suite: Suite;
  try {
    suite = await prepare(programs, flags);
  } catch (error) {
    if (error instanceof DebianError) return skipAll(error.message);
    throw error;
  }
  const results: ProgramResult[] = [];
  for (const program of programs) results.push(await runEverywhere(program, suite, flags));
  console.log(`\n${plainTable(results, suite.places)}\n`);
  for (const line of skipLines(results)) console.log(`skipped: ${line}`);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`);
  if (flags.markdown === true) updateDocument(suite, results);
  const { passed, failed, skipped } = totals(results);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await new Command('test:kselftest')
  .argument('[PROGRAM...]', 'names of self tests, or "first", "later", "all" (default: first)')
  .option('--only <places>', 'run only there: cowshed, cow-pte, default, host, qemu')
  .option('--verbose', 'print what the programs print')
  .option('--json <file>', 'write all subtests to a file')
  .option('--markdown', `write the table into ${DOCUMENT}`)
  .option(
    '--mirror <url>',
    "Debian mirror (default: $COWSHED_DEBIAN_MIRROR, else this host's apt sources)",
  )
  .option('--update', 'take the newest source, and write the lock file')
  .option('--allow-expired', 'accept a release that is past its Valid-Until date')
  .option('--limit <seconds>', 'time limit of one run', String(DEFAULT_LIMIT_S))
  .action((words: string[], flags: Flags) => main(words, flags))
  .parseAsync();
