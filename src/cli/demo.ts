/** `cowshed demo`, which `npm start` runs: the three tables of the founding document, measured now. */

import { Command } from 'commander';
import { benchOptions, progressLine } from './bench.ts';

/** Rounds of each bench: enough for a stable median, short enough to wait for. */
const FORK_ROUNDS = 4;
const FAULT_ROUNDS = 3;

interface DemoFlags {
  readonly native: boolean;
  readonly json?: boolean;
}

function heading(text: string): string {
  return `\n${text}\n${'-'.repeat(text.length)}\n`;
}

/** What to type next; npm knows how the command is called in a checkout. */
function nextSteps(): string {
  const command =
    process.env['npm_lifecycle_event'] === undefined ? 'cowshed' : 'npm run -s cowshed --';
  return (
    '\nNext, programs of Debian:\n' +
    `  ${command} pull busybox-static bash coreutils sqlite3\n` +
    `  ${command} run bash -c 'seq 1000 | sort -R | head -n 3 | tac'\n` +
    `  ${command} run sqlite3 :memory: 'select sqlite_version()'\n`
  );
}

async function demo(flags: DemoFlags): Promise<void> {
  const { runForkBench, formatForkTable, formatMemoryTable } = await import('../bench/fork.ts');
  const { runFaultBench, formatFaultTable } = await import('../bench/fault.ts');
  const progress = progressLine();
  const options = { ...(await benchOptions(flags)), onProgress: progress.onProgress };
  const { stdout } = process;
  const show = (title: string, table: string): void => {
    progress.clear();
    if (flags.json !== true) stdout.write(heading(title) + table);
  };
  if (flags.json !== true) {
    stdout.write(
      'cowshed runs riscv64 Linux programs on its own kernel. Its fork() shares page tables (cow-pte)\n' +
        'instead of copying them (default). The same programs, built for this host, are the native rows.\n',
    );
  }
  try {
    const fork = await runForkBench({ ...options, rounds: FORK_ROUNDS, zeroSizesMiB: [] });
    show(
      'Memory after a fork: resident set and page tables of parent and child, 1 GiB mapped',
      formatMemoryTable(fork),
    );
    show('Latency of fork(), and of the cycle fork + exit + wait', formatForkTable(fork));
    const fault = await runFaultBench({ ...options, rounds: FAULT_ROUNDS, kinds: false });
    show(
      'Cost of a write after a fork: 512 MiB in order, 1 M random writes',
      formatFaultTable(fault),
    );
    if (flags.json === true) stdout.write(`${JSON.stringify({ fork, fault })}\n`);
    else {
      stdout.write(nextSteps());
    }
  } finally {
    progress.clear();
  }
}

export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'Measures and prints what sharing page tables does for fork(); takes a minute or two.',
    )
    .option('--no-native', 'leave out the same programs built for this host')
    .option('--json', 'print the results as JSON')
    .action(demo);
}
