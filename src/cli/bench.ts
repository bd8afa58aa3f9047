/** `cowshed bench`: parses flags and prints what the drivers in src/bench measure. */

import { Command } from 'commander';
import { accessSync, constants } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Page } from '../bench/html_page.ts';
import type { BenchOptions } from '../bench/modes.ts';
import { CliError, oneLine } from './exit_code.ts';
import { existingDefaultRoot } from './rootfs_path.ts';
import { parseSize } from './size.ts';

interface BenchFlags {
  readonly json?: boolean;
  readonly html?: string;
  readonly native: boolean;
  readonly memory?: string;
  readonly rounds?: string;
  readonly sizes?: string;
  readonly zeroSizes?: string;
  readonly size?: string;
  readonly writes?: string;
  readonly only?: string;
  readonly kind?: string;
  readonly rootfs?: string;
  readonly clones?: string;
  readonly scale?: string;
}

function positive(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new CliError(`Cannot read ${flag} "${text}": want a positive number`);
  return value;
}

/** MiB of sizes such as `64,1g`; a bare number is MiB, as the tables print it. */
function parseMiB(text: string, flag: string): number {
  return /^\d+$/.test(text) ? Number(text) : parseSize(text, flag) / 2 ** 20;
}

/** Says on a terminal what is being measured; the line is replaced by the next and then removed. */
export function progressLine(): { onProgress: (step: string) => void; clear: () => void } {
  const { stderr } = process;
  const write = (text: string): void => {
    if (stderr.isTTY) stderr.write(`\r\x1b[K${text}`);
  };
  return { onProgress: (step) => write(step), clear: () => write('') };
}

/** What every bench is given. The machine is loaded only when it is used. */
export async function benchOptions(flags: {
  readonly native?: boolean;
  readonly memory?: string;
  readonly rounds?: string;
}): Promise<BenchOptions & { rounds?: number }> {
  const { Machine } = await import('../machine/machine.ts');
  return {
    machine: (options) => Machine.create(options),
    native: flags.native ?? true,
    ...(flags.memory === undefined ? {} : { memory: parseSize(flags.memory, '--memory') }),
    ...(flags.rounds === undefined ? {} : { rounds: positive(flags.rounds, '--rounds') }),
  };
}

/** Command line that starts this program again. */
function cowshedCommand(): [string, ...string[]] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
}

interface Measured {
  readonly rows: readonly unknown[];
  readonly notes?: readonly string[];
}

/** What a bench does with its flags: it measures, and shows the result in two ways. */
interface Bench<Result extends Measured> {
  readonly measure: (options: BenchOptions & { rounds?: number }) => Promise<Result>;
  readonly format: (result: Result) => string;
  readonly page: (result: Result) => Promise<PageBody>;
}

type PageBody = Omit<Page, 'rows' | 'table'>;

/** Says at once, not after minutes of measuring, that a page cannot be written. */
function checkHtml(path: string | undefined): void {
  if (path === undefined) return;
  try {
    accessSync(dirname(resolve(path)), constants.W_OK);
  } catch (error) {
    throw new CliError(`Cannot write "${path}": ${oneLine(error)}`);
  }
}

async function writeHtml(path: string, page: Page): Promise<void> {
  const { describeHost, renderPage } = await import('../bench/html_page.ts');
  const { writeFileAtomic } = await import('../debian/cache.ts');
  await writeFileAtomic(resolve(path), renderPage(page, describeHost(new Date())));
}

/** Runs one bench and prints its rows as JSON or its table. */
async function print<Result extends Measured>(
  flags: BenchFlags,
  { measure, format, page }: Bench<Result>,
): Promise<void> {
  checkHtml(flags.html);
  const progress = progressLine();
  try {
    const options = await benchOptions(flags);
    const result = await measure({ ...options, onProgress: progress.onProgress });
    progress.clear();
    for (const note of result.notes ?? []) process.stderr.write(`cowshed: ${note}\n`);
    const { rows } = result;
    const table = format(result);
    process.stdout.write(flags.json === true ? `${JSON.stringify({ rows })}\n` : table);
    if (flags.html === undefined) return;
    await writeHtml(flags.html, { ...(await page(result)), rows, table });
  } finally {
    progress.clear();
  }
}

async function benchFork(flags: BenchFlags): Promise<void> {
  const { runForkBench, formatForkTable } = await import('../bench/fork.ts');
  const sizes = (text: string | undefined, flag: string): number[] | undefined =>
    text?.split(',').map((size) => parseMiB(size, flag));
  const sizesMiB = sizes(flags.sizes, '--sizes');
  const zeroSizesMiB = sizes(flags.zeroSizes, '--zero-sizes');
  const named = {
    ...(sizesMiB === undefined ? {} : { sizesMiB }),
    ...(zeroSizesMiB === undefined ? {} : { zeroSizesMiB }),
  };
  await print(flags, {
    measure: (options) => runForkBench({ ...options, ...named }),
    format: formatForkTable,
    page: async (result) => (await import('../bench/pages.ts')).forkPage(result),
  });
}

async function benchBreak(flags: BenchFlags): Promise<void> {
  const { runBreakBench, formatBreakTable } = await import('../bench/break.ts');
  await print(flags, {
    measure: runBreakBench,
    format: formatBreakTable,
    page: async (result) => (await import('../bench/pages.ts')).breakPage(result),
  });
}

async function benchFault(flags: BenchFlags): Promise<void> {
  const { runFaultBench, formatFaultTable } = await import('../bench/fault.ts');
  const mappedMiB = flags.size === undefined ? {} : { mappedMiB: parseMiB(flags.size, '--size') };
  const writes = flags.writes === undefined ? {} : { writes: positive(flags.writes, '--writes') };
  await print(flags, {
    measure: (options) => runFaultBench({ ...options, ...mappedMiB, ...writes }),
    format: formatFaultTable,
    page: async (result) => (await import('../bench/pages.ts')).faultPage(result),
  });
}

function cpuKind(text: string | undefined): 'kernel' | 'workload' | undefined {
  if (text === undefined || text === 'kernel' || text === 'workload') return text;
  throw new CliError(`Cannot read --kind "${text}": want kernel or workload`);
}

async function benchCpu(flags: BenchFlags): Promise<void> {
  const { runCpuBench } = await import('../bench/cpu.ts');
  const { formatCpuTable } = await import('../bench/cpu_table.ts');
  const { defaultCacheDir } = await import('../debian/cache.ts');
  const named = {
    only: flags.only?.split(','),
    kind: cpuKind(flags.kind),
    scale: flags.scale === undefined ? undefined : positive(flags.scale, '--scale'),
    memory: flags.memory,
    rootfs: flags.rootfs ?? existingDefaultRoot(process.env),
    cacheDir: defaultCacheDir(process.env),
    cowshed: cowshedCommand(),
  };
  await print(flags, {
    measure: async ({ native, rounds, onProgress }) =>
      runCpuBench({ ...named, native, rounds, onProgress }),
    format: formatCpuTable,
    page: async (result) => (await import('../bench/pages.ts')).cpuPage(result),
  });
}

async function benchClone(flags: BenchFlags): Promise<void> {
  const { runCloneBench, formatCloneTable } = await import('../bench/clone.ts');
  const rootfs = flags.rootfs ?? existingDefaultRoot(process.env);
  const clones = flags.clones === undefined ? undefined : positive(flags.clones, '--clones');
  await print(flags, {
    measure: (options) => runCloneBench({ ...options, rootfs, clones }),
    format: formatCloneTable,
    page: async (result) => (await import('../bench/pages.ts')).clonePage(result),
  });
}

function subcommand(
  name: string,
  summary: string,
  action: (flags: BenchFlags) => Promise<void>,
): Command {
  return new Command(name)
    .description(summary)
    .helpOption('--help', 'print this help')
    .option('--json', 'print the rows as JSON')
    .option('--html <file>', 'write a page of plots, too')
    .option('--no-native', 'leave out the same program built for this host')
    .option('-m, --memory <size>', 'memory of each machine')
    .option('--rounds <n>', 'rounds to measure')
    .action(action);
}

export function benchCommand(): Command {
  return new Command('bench')
    .description('Measures the machine beside this host; every ratio comes from one run.')
    .addCommand(
      subcommand('fork', 'latency of fork() and of fork + exit + wait, by mapped memory', benchFork)
        .option('--sizes <list>', 'memory in MiB of which every page is written, such as 0,64,1024')
        .option('--zero-sizes <list>', 'memory that is only read, such as 4g,50g'),
    )
    .addCommand(subcommand('break', 'cost of making one shared page table private', benchBreak))
    .addCommand(
      subcommand('fault', 'cost of a write after fork, sequential and random', benchFault)
        .option('--size <size>', 'mapped memory in MiB')
        .option('--writes <n>', 'random writes'),
    )
    .addCommand(
      subcommand('cpu', 'speed of the processor on kernels and whole programs', benchCpu)
        .option('--only <list>', 'rows to measure, such as sieve,sqlite3')
        .option('--kind <kind>', 'only rows of this kind: kernel or workload')
        .option('--scale <x>', 'work of each row')
        .option('--rootfs <dir>', 'root file system with the programs of the workloads'),
    )
    .addCommand(
      subcommand('clone', 'clones of a warm python3 beside its first run', benchClone)
        .option('--clones <n>', 'forks and clones to make')
        .option('--rootfs <dir>', 'root file system with python3'),
    );
}
