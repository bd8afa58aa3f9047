/** `cowshed run`: one program in a fresh machine, with docker run's flags and exit codes. */

import { Command } from 'commander';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import type { Machine, MachineOptions } from '../machine/machine.ts';
import { signalNumber } from '../uapi/signal.ts';
import { CliError, EXIT_COWSHED, EXIT_SIGNAL, oneLine } from './exit_code.ts';
import { existingDefaultRoot } from './rootfs_path.ts';
import { planCoverage, writeCoverage } from './run_coverage.ts';
import type { Identity, RunFlags } from './run_flags.ts';
import {
  guestEnvironment,
  memoryBytes,
  parseCount,
  parseJit,
  parseSwap,
  parseUser,
  parseVolume,
} from './run_flags.ts';
import { planProfile, writeProfile } from './run_profile.ts';
import { forwardSignals, wireStdio } from './run_stdio.ts';
import { formatStats } from './run_stats.ts';
import { copyProgram, locateProgram, prepareWorkdir, spawnTarget } from './run_target.ts';
import { traceMm } from './trace_mm.ts';

const DEFAULT_HOSTNAME = 'cowshed';
/** Options that may or may not name a file. */
const OPTIONAL_VALUES: ReadonlySet<string> = new Set(['--strace', '--trace-mm', '--profile']);
/** Ends that nobody asked for: worth a line beside the exit code. */
const CRASH_SIGNALS = new Set(
  ['ILL', 'TRAP', 'ABRT', 'BUS', 'FPE', 'KILL', 'SEGV', 'SYS'].map((name) => `SIG${name}`),
);

/** A log of what the program does. */
interface Log {
  readonly line: (text: string) => void;
  readonly close: () => void;
}

function openFile(path: string, what: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new CliError(`Cannot log ${what} to "${path}": ${oneLine(error)}`);
  }
}

/** How long to wait for a reader that is slower than the program, ms. */
const READER_WAIT_MS = 1;

/** Writes all of a line, also to a pipe that is full now. @throws what write(2) fails with. */
function writeLine(fd: number, text: string): void {
  const line = Buffer.from(`${text}\n`);
  for (let done = 0; done < line.length; ) {
    try {
      done += writeSync(fd, line, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, READER_WAIT_MS);
    }
  }
}

/** Opens the log that a flag asks for: a file, or standard error without one. */
function openLog(flag: string | true | undefined, what: string): Log | null {
  if (flag === undefined) return null;
  const toFile = flag !== true && flag !== '';
  const fd = toFile ? openFile(String(flag), what) : process.stderr.fd;
  let closed = false;
  return {
    line: (text) => {
      if (closed) return;
      try {
        writeLine(fd, text);
      } catch (error) {
        // Nobody reads on (cowshed run --strace ... 2>&1 | head): the program goes on.
        if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
        closed = true;
      }
    },
    close: () => {
      if (toFile) closeSync(fd);
    },
  };
}

function machineOptions(flags: RunFlags, hostname: string): MachineOptions {
  const rootfs = flags.rootfs ?? existingDefaultRoot(process.env);
  if (rootfs !== null && statSync(rootfs, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new CliError(
      `Cannot use root file system "${rootfs}": no such directory; "cowshed pull" makes one`,
    );
  }
  const memory = memoryBytes(flags);
  return {
    hostname,
    cowPte: flags.cowPte,
    jit: parseJit(flags.jit),
    seed: parseCount(flags.seed, '--seed', 0),
    maxInstructions: parseCount(flags.maxInsns, '--max-insns', 1),
    mounts: (flags.volume ?? []).map(parseVolume),
    swap: (flags.swap ?? []).map(parseSwap),
    ...(rootfs === null ? {} : { root: { host: rootfs } }),
    ...(memory === undefined ? {} : { memory }),
  };
}

/** From now on the root file system takes no changes. */
function makeRootReadOnly(machine: Machine): void {
  const root = machine.internals.rootFs?.root;
  if (root !== undefined) root.mnt.sb.readOnly = true;
}

function readGuestText(machine: Machine, path: string): string | null {
  try {
    return Buffer.from(machine.readFile(path)).toString('utf8');
  } catch {
    return null;
  }
}

/** Runs the program to its end. @returns its exit code. */
async function runIn(
  machine: Machine,
  command: readonly [string, ...string[]],
  flags: RunFlags,
  hostname: string,
): Promise<number> {
  const [program, ...args] = command;
  const env = guestEnvironment(flags, process.env, hostname);
  const identity: Identity | undefined =
    flags.user === undefined
      ? undefined
      : parseUser(flags.user, (path) => readGuestText(machine, path));
  const target = locateProgram(machine, program, env['PATH'] ?? '');
  copyProgram(machine, target);
  if (flags.workdir !== undefined) prepareWorkdir(machine, flags.workdir);
  if (flags.readOnly === true) makeRootReadOnly(machine);
  const stdio = wireStdio(flags);
  const guest = spawnTarget(machine, target, (path) =>
    machine.spawn(path, [program, ...args], {
      env,
      ...stdio.spawnOptions,
      ...(flags.workdir === undefined ? {} : { cwd: flags.workdir }),
      ...identity,
    }),
  );
  const stopForwarding = forwardSignals(machine, guest);
  const disconnect = stdio.connect(guest);
  try {
    const { code, signal } = await guest.wait();
    await stdio.drain(guest);
    if (signal === null) return code ?? EXIT_COWSHED;
    if (CRASH_SIGNALS.has(signal)) {
      process.stderr.write(`cowshed: ${program} was killed by ${signal}\n`);
    }
    return EXIT_SIGNAL + signalNumber(signal);
  } finally {
    disconnect();
    stopForwarding();
  }
}

async function run(words: readonly string[], flags: RunFlags): Promise<void> {
  const command = flags.entrypoint === undefined ? words : [flags.entrypoint, ...words];
  const [program, ...args] = command;
  if (program === undefined) throw new CliError('Cannot run: name a PROGRAM');
  const hostname = flags.hostname ?? DEFAULT_HOSTNAME;
  const options = machineOptions(flags, hostname);
  guestEnvironment(flags, process.env, hostname);
  const profile = planProfile(flags);
  const coverage = planCoverage(flags);
  const strace = openLog(flags.strace, 'system calls');
  const trace = openLog(flags.traceMm, 'memory events');
  const { Machine } = await import('../machine/machine.ts');
  const machine = await Machine.create({
    ...options,
    instrument: coverage.instrument,
    ...(strace === null ? {} : { strace: strace.line }),
    ...(profile === null ? {} : { profile: profile.options }),
  });
  if (trace !== null) traceMm(machine.events, trace.line);
  const started = performance.now();
  try {
    try {
      process.exitCode = await runIn(machine, [program, ...args], flags, hostname);
    } finally {
      if (profile !== null) writeProfile(profile, machine.profile());
      writeCoverage(coverage, machine);
    }
  } finally {
    if (flags.stats === true)
      process.stderr.write(
        formatStats(machine.stats(), machine.jitStats(), performance.now() - started),
      );
    await machine.dispose();
    strace?.close();
    trace?.close();
  }
}

function collect(value: string, all: string[] = []): string[] {
  return [...all, value];
}

export function runCommand(): Command {
  return new Command('run')
    .summary('run a riscv64 program')
    .description(
      'Runs a riscv64 Linux program. PROGRAM is looked up in the guest; ./PROGRAM is a file of this host.\n' +
        'Standard input is passed on when it is a pipe or a file, and from a terminal with -i.',
    )
    .usage('[OPTIONS] PROGRAM [ARG...]')
    .argument('[PROGRAM]', 'program to run')
    .argument('[ARG...]', 'its arguments')
    .passThroughOptions()
    .option(
      '--rootfs <dir>',
      'root file system, never written (default: $COWSHED_ROOTFS, else .cowshed/rootfs if there)',
    )
    .option(
      '-v, --volume <host:guest[:ro]>',
      'show a directory of this host in the guest, read-only',
      collect,
    )
    .option('-e, --env <k=v>', 'set an environment variable', collect)
    .option('--env-file <file>', 'read environment variables from a file', collect)
    .option('-w, --workdir <dir>', 'working directory in the guest')
    .option('-i, --interactive', 'pass standard input on, from a terminal too')
    .option('-t, --tty', 'give the program a terminal')
    .option('-m, --memory <size>', 'memory of the machine, such as 512m or 2g')
    .option(
      '--swap <size|file:size>',
      'swap to memory or to a file of this host, such as 256m or /tmp/swap:1g; repeatable',
      collect,
    )
    .option('--cow-pte', 'fork shares page tables', true)
    .option('--no-cow-pte', 'fork copies page tables')
    .option('--jit <on|off>', 'compile hot code (default: $COWSHED_JIT, else on)')
    .option('-h, --hostname <name>', 'host name in the guest')
    .option('-u, --user <user[:group]>', 'user and group of the program (default: root)')
    .option('--entrypoint <program>', 'program to run; PROGRAM is then its first argument')
    .option('--strace [=file]', 'log system calls to standard error, or to a file')
    .option('--trace-mm [=file]', 'log faults, and what happens to page tables, as --strace does')
    .option(
      '--profile [=file]',
      'write where instructions were spent to cowshed.folded, or FILE: .html, .json or folded',
    )
    .option('--profile-interval <n>', 'instructions between samples (default: 100003)')
    .option('--seed <n>', 'same run each time: random bytes from N, time from the instructions')
    .option('--max-insns <n>', 'end with an error once about so many instructions have run')
    .option('--coverage <file>', 'write edges and how often they ran, as afl-showmap does')
    .option('--trace-blocks <file>', 'write the address of each basic block that ran, in order')
    .option('--stats', 'print instructions, faults, forks and memory at the end')
    .option('--read-only', 'do not let the program write to its root file system')
    .option('--rm', 'accepted; a machine never outlives its program')
    .option('--init', 'accepted; orphans are always reaped')
    .option('--name <name>', 'accepted; without effect')
    .option('--network <mode>', 'accepted; the guest has no network beyond its own')
    .option('--cpus <n>', 'accepted; the machine has one processor')
    .option('--platform <os/arch>', 'accepted; it is always linux/riscv64')
    .action((program: string | undefined, args: string[], flags: RunFlags) =>
      run(program === undefined ? [] : [program, ...args], flags),
    );
}

/**
 * Writes `--strace`, `--trace-mm` and `--profile` before PROGRAM as `--strace=`: commander would take the next word for
 * the name of the file otherwise.
 */
export function markOptionalValues(program: Command, args: readonly string[]): string[] {
  const command = program.commands.find((child) => child.name() === args[0]);
  if (command?.name() !== 'run') return [...args];
  const marked = [...args];
  for (let i = 1; i < marked.length; i++) {
    const word = marked[i] ?? '';
    if (!word.startsWith('-') || word === '-' || word === '--') break;
    if (OPTIONAL_VALUES.has(word)) marked[i] = `${word}=`;
    // The last letter of -it or -e decides whether a value follows.
    const name = word.startsWith('--') ? word : `-${word.slice(-1)}`;
    const option = command.options.find(({ short, long }) => short === name || long === name);
    if (option?.required === true) i++;
  }
  return marked;
}
