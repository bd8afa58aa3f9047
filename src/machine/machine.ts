/**
 * The public object: one kernel, one processor, one memory. The embedder spawns programs in
 * it, talks to them through streams, clones them, and reads and writes its files.
 */

import { MAX_MEMORY_BYTES, MIN_MEMORY_BYTES, PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { retiredInstructions } from '../arch/riscv/hart_state.ts';
import { Ram } from '../arch/riscv/ram.ts';
import { Cpu } from '../cpu/cpu.ts';
import type { InstrumentOptions } from '../cpu/instrument.ts';
import type { JitStats } from '../cpu/jit/code_cache.ts';
import type { JitOptions } from '../cpu/jit/options.ts';
import type { File } from '../fs/fs_types.ts';
import { openExec } from '../fs/open.ts';
import { killAllSuperBlocks } from '../fs/super.ts';
import { ExecFatal, loadProgram, startThread, type LoadedProgram } from '../kernel/exec.ts';
import { killAll } from '../kernel/exit.ts';
import { cloneForHost } from '../kernel/fork.ts';
import { Kernel } from '../kernel/kernel.ts';
import { saveCurrent } from '../kernel/sched.ts';
import { initialRlimits } from '../kernel/sys.ts';
import {
  ROOT_CRED,
  SIGACTION_WORDS,
  SighandStruct,
  TASK_KILLABLE,
  Task,
  type Cred,
  type SignalStruct,
} from '../kernel/task.ts';
import { vdsoSetup } from '../kernel/vdso.ts';
import { createPgData } from '../mm/mm_init.ts';
import { MMF_COW_PTE } from '../mm/mm_struct.ts';
import { Strace } from '../syscalls/strace.ts';
import { SYSCALLS, syscallHandlers } from '../syscalls/table.ts';
import { EAGAIN, EBUSY, ESRCH } from '../uapi/errno.ts';
import { NSIG, SIGCHLD } from '../uapi/signal.ts';
import { enableBranchHints } from './branch_hints.ts';
import { CowshedError, errnoError } from './errors.ts';
import { MachineEvents } from './events.ts';
import { explainExec } from './explain_exec.ts';
import { HostFiles } from './host_files.ts';
import {
  blockTrace,
  type BlockTrace,
  clearInstrument,
  compareLog,
  type CompareLog,
  edgeMap,
  reservedBytes,
} from './instruments.ts';
import { jitOptions } from './jit_options.ts';
import { ERR_INSTRUCTION_LIMIT, MachineLoop } from './loop.ts';
import { OutputGate } from './output_gate.ts';
import { Profile, PROFILE_INTERVAL, PROFILE_INTERVAL_MAX } from './profile/profile.ts';
import { profileReport, type ProfileReport } from './profile/report.ts';
import { Process, type ProcessHost, type StdioOptions } from './process.ts';
import { bytesOf, createRootFs, type GuestTree, type HostMount, type RootSpec } from './root_fs.ts';
import {
  endTerminal,
  openStdio,
  openTerminal,
  replaceStdio,
  stdioFiles,
  type Stdio,
} from './stdio.ts';
import { SwapAreas, swapSpecs, type SwapSpec } from './swap_device.ts';
import { TrapContext } from './trap.ts';

export type { HostMount, RootSpec } from './root_fs.ts';
export type { SwapFile, SwapSpec } from './swap_device.ts';

const DEFAULT_MEMORY = 2 * 1024 ** 3;
const FOUR_GIB = 2 ** 32;
const WASM_PAGE = 65536;
/** What a program gets when spawn() names no environment. */
const DEFAULT_ENV: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
};
/** A timer that only keeps the host's event loop alive, ms. */
const KEEP_ALIVE_MS = 0x7fff_ffff;

export interface MachineOptions {
  /** Bytes; rounded up to 64 KiB, 8 MiB to just below 4 GiB. Default 2 GiB. Committed as it is touched. */
  readonly memory?: number | undefined;
  /** fork shares page tables. Default true. */
  readonly cowPte?: boolean | undefined;
  /** Compile hot code. Default: $COWSHED_JIT, else true. */
  readonly jit?: boolean | JitOptions | undefined;
  /** Root file system. Default: an empty one in memory, with /dev, /proc, /sys and /tmp. */
  readonly root?: RootSpec | undefined;
  /** Host directories shown in the guest, read-only. */
  readonly mounts?: readonly HostMount[] | undefined;
  /** Swap areas: bytes of the host's memory, or files of the host. Default: none. */
  readonly swap?: SwapSpec | readonly SwapSpec[] | undefined;
  /** Default 'cowshed'. */
  readonly hostname?: string | undefined;
  /** Called with one line for each system call. */
  readonly strace?: ((line: string) => void) | undefined;
  /** Counts stacks of the programs, for profile(). Default false. */
  readonly profile?: boolean | ProfileOptions | undefined;
  /** Counts edges, logs comparisons or blocks: see coverage(). Default: none, which costs nothing. */
  readonly instrument?: InstrumentOptions | undefined;
  /** Makes getrandom(), /dev/urandom and AT_RANDOM repeatable. */
  readonly randomSeed?: number | undefined;
  /**
   * Makes whole runs repeatable, down to the count of instructions: random bytes as randomSeed
   * does, and virtual time, which passes by a nanosecond an instruction from the same date on,
   * and at once when every thread waits for it. What comes from outside is repeatable when it
   * comes before the programs run: input, files, signals.
   */
  readonly seed?: number | undefined;
  /** Ends the machine once about so many instructions have run: ERR_INSTRUCTION_LIMIT. Default: none. */
  readonly maxInstructions?: number | undefined;
  /** Called with each line of the kernel's log. */
  readonly log?: ((line: string) => void) | undefined;
}

export interface ProfileOptions {
  /** Instructions between two samples. Default 100,003. */
  readonly interval?: number | undefined;
}

export interface SpawnOptions extends StdioOptions {
  /** The whole environment of the program. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Working directory in the guest. Default '/'. */
  readonly cwd?: string | undefined;
  /** Descriptors 0, 1 and 2 are one terminal; output is read from stdout. */
  readonly tty?: boolean | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** Counters since boot, and memory in bytes. */
export interface MachineStats {
  readonly instructions: number;
  readonly systemCalls: number;
  readonly trapFaults: number;
  readonly forks: number;
  readonly contextSwitches: number;
  readonly processes: number;
  readonly pageFaults: number;
  readonly majorFaults: number;
  readonly pageCopies: number;
  readonly pageReuses: number;
  readonly sharedTables: number;
  readonly tableCopies: number;
  readonly tableReuses: number;
  readonly tableFallbacks: number;
  readonly oomKills: number;
  readonly memoryBytes: number;
  readonly freeBytes: number;
  readonly swapBytes: number;
  readonly swapFreeBytes: number;
  readonly swapIns: number;
  readonly swapOuts: number;
  readonly pageTableBytes: number;
}

function memoryBytes(wanted: number | undefined): number {
  // "4G" asks for all that 32-bit WebAssembly has.
  const asked = wanted === FOUR_GIB ? MAX_MEMORY_BYTES : (wanted ?? DEFAULT_MEMORY);
  const bytes = Math.ceil(asked / WASM_PAGE) * WASM_PAGE;
  if (bytes >= MIN_MEMORY_BYTES && bytes <= MAX_MEMORY_BYTES) return bytes;
  throw new CowshedError(
    'ERR_MEMORY_SIZE',
    `Cannot make a machine with ${bytes} bytes of memory: want ${MIN_MEMORY_BYTES} to ${MAX_MEMORY_BYTES}`,
  );
}

/** Tables of all levels. */
function total(byLevel: Float64Array): number {
  return byLevel.reduce((sum, n) => sum + n, 0);
}

function createRam(bytes: number, reserved: number): Ram {
  try {
    return new Ram(bytes, reserved);
  } catch (error) {
    throw new CowshedError(
      'ENOMEM',
      `Cannot reserve ${bytes} bytes of memory: the host refused`,
      error,
    );
  }
}

function newProfile(ram: Ram, options: MachineOptions['profile']): Profile | null {
  if (options === undefined || options === false) return null;
  const interval = (options === true ? undefined : options.interval) ?? PROFILE_INTERVAL;
  if (Number.isInteger(interval) && interval > 0 && interval <= PROFILE_INTERVAL_MAX)
    return new Profile(ram, interval);
  throw new CowshedError(
    'EINVAL',
    `Cannot profile each ${interval} instructions: want a whole number, 1 to ${PROFILE_INTERVAL_MAX}`,
  );
}

function instructionLimit(limit = Number.POSITIVE_INFINITY): number {
  if (limit > 0) return limit;
  throw new CowshedError('EINVAL', `Cannot run ${limit} instructions: want more than 0`);
}

export class Machine implements ProcessHost {
  private readonly kernel: Kernel;
  private readonly context: TrapContext;
  private readonly loop: MachineLoop;
  private readonly tree: GuestTree;
  private readonly files: HostFiles;
  private readonly swapAreas: SwapAreas;
  /** What happens to the memory of the processes, as it happens. */
  readonly events: MachineEvents;
  private readonly processes = new Map<SignalStruct, { process: Process; stdio: Stdio }>();
  private keepAlive: NodeJS.Timeout | null = null;
  private failure: CowshedError | null = null;
  /** Free frames once the machine had booted: what must be free again when nothing runs. */
  private readonly bootFrames: number;

  /** @throws CowshedError for a bad option, or when the host cannot give the memory. */
  static async create(options: MachineOptions = {}): Promise<Machine> {
    return new Machine(options);
  }

  private constructor(options: MachineOptions) {
    const memory = memoryBytes(options.memory);
    const instrument = options.instrument ?? {};
    const ram = createRam(memory, reservedBytes(instrument, memory));
    const pgdat = createPgData(ram);
    const kernel = new Kernel(ram, pgdat, {
      hostname: options.hostname ?? 'cowshed',
      cowPte: options.cowPte ?? true,
      randomSeed: options.randomSeed ?? options.seed,
      virtualTime: options.seed !== undefined,
    });
    this.kernel = kernel;
    kernel.log.onLine = options.log ?? null;
    kernel.vdso = vdsoSetup(pgdat);
    const time = { timeNs: (pending: number) => kernel.clock.now(pending) };
    enableBranchHints();
    const cpu = new Cpu(ram, time, jitOptions(options.jit), instrument);
    this.context = new TrapContext(kernel, cpu, syscallHandlers());
    if (options.strace !== undefined) this.context.strace = new Strace(SYSCALLS, options.strace);
    this.context.profile = newProfile(ram, options.profile);
    const limit = instructionLimit(options.maxInstructions);
    const gate = options.seed === undefined ? null : new OutputGate();
    this.loop = new MachineLoop(this.context, limit, gate, (error) => this.fail(error));
    this.tree = createRootFs(kernel, options.root ?? {}, options.mounts ?? []);
    this.files = new HostFiles(this.tree.vfs, this.tree.context);
    this.swapAreas = new SwapAreas(pgdat, this.tree, swapSpecs(options.swap));
    this.events = new MachineEvents(kernel, (error) => this.fail(error));
    this.bootFrames = pgdat.freeFrames;
  }

  /**
   * Starts a program.
   * @param path absolute, or relative to `cwd`.
   * @param argv with the program's name for itself first.
   * @throws CowshedError with the errno execve() would give: ENOENT, EACCES, ENOEXEC...
   */
  spawn(path: string, argv: readonly string[], options: SpawnOptions = {}): Process {
    this.checkAlive(`run "${path}"`);
    const { kernel } = this;
    const cred = credOf(options);
    const fs = this.files.workingDirectory(options.cwd ?? '/', cred);
    const limits = initialRlimits(kernel.maxTasks);
    const ctx = { fs, files: null, cred };
    const file = openExec(fs, ctx, bytesOf(path));
    if (typeof file === 'number') throw errnoError(file, `run "${path}"`);
    const env = Object.entries(options.env ?? DEFAULT_ENV).map(([k, v]) => bytesOf(`${k}=${v}`));
    const program = this.load(ctx, file, path, argv.map(bytesOf), env, limits, cred);
    if (kernel.cowPte) program.mm.flags |= MMF_COW_PTE;
    const pid = kernel.allocPid();
    const { gate } = this.loop;
    const stdio =
      options.tty === true
        ? openTerminal(this.tree, kernel, options, gate)
        : openStdio(this.tree, options, gate);
    const sighand = new SighandStruct(new Int32Array(NSIG * SIGACTION_WORDS), false);
    const task = new Task(pid, pid, kernel.runQueue, kernel.spareRegs.pop(), null, {
      mm: program.mm,
      files: stdioFiles(stdio),
      fs,
      sighand,
      signal: null,
      cred,
      comm: program.comm,
      exitSignal: SIGCHLD,
      limits,
    });
    task.startTime = kernel.clock.now();
    task.signal.didExec = true;
    startThread(task, program);
    kernel.tasks.set(pid, task);
    if (stdio.tty !== null) {
      stdio.tty.session = pid;
      stdio.tty.pgrp = pid;
    }
    return this.adopt(task, stdio);
  }

  private load(
    ctx: Parameters<typeof loadProgram>[1],
    file: File,
    path: string,
    argv: readonly string[],
    env: readonly string[],
    limits: ReturnType<typeof initialRlimits>,
    cred: Cred,
  ): LoadedProgram {
    file.getFile();
    const program = loadProgram(this.kernel, ctx, file, bytesOf(path), argv, env, limits, cred);
    try {
      if (program instanceof ExecFatal) {
        throw errnoError(program.errno, `load "${path}"`, 'its segments cannot be mapped');
      }
      if (typeof program !== 'number') return program;
      throw errnoError(program, `load "${path}"`, explainExec(file, program));
    } finally {
      file.putFile();
    }
  }

  /** Makes a ready task's process visible to the embedder and lets it run. */
  private adopt(task: Task, stdio: Stdio): Process {
    const process = new Process(this, task.signal, stdio);
    const { signal } = task;
    this.processes.set(signal, { process, stdio });
    this.keepAlive ??= setInterval(() => {}, KEEP_ALIVE_MS);
    signal.onExit?.add({ wake: () => this.forget(signal, stdio) });
    for (const thread of signal.threads) thread.makeRunnable();
    return process;
  }

  private forget(signal: SignalStruct, stdio: Stdio): void {
    endTerminal(stdio);
    this.processes.delete(signal);
    if (this.processes.size > 0 || this.keepAlive === null) return;
    clearInterval(this.keepAlive);
    this.keepAlive = null;
  }

  /** Process.fork(). */
  cloneProcess(signal: SignalStruct, options: StdioOptions): Process {
    const action = `clone process ${signal.tgid}`;
    this.checkAlive(action);
    const known = this.processes.get(signal);
    const { leader } = signal;
    if (known === undefined || leader.mm === null) throw errnoError(-ESRCH, action, 'it has ended');
    if (leader.state === TASK_KILLABLE) {
      throw errnoError(-EAGAIN, action, 'it waits for a vfork child');
    }
    saveCurrent(this.kernel);
    const child = cloneForHost(this.kernel, leader);
    if (typeof child === 'number') throw errnoError(child, action);
    child.signal.pgrp = child.pid;
    child.signal.session = child.pid;
    const stdio = openStdio(this.tree, options, this.loop.gate);
    replaceStdio(child.files, known.stdio, stdio);
    return this.adopt(child, stdio);
  }

  /** @throws CowshedError ENOENT, EISDIR... */
  readFile(path: string): Uint8Array {
    this.checkAlive(`read "${path}"`);
    return this.files.readFile(path);
  }

  /** Creates or replaces a file. @param mode permission bits of a new one. */
  writeFile(path: string, data: string | Uint8Array, mode = 0o644): void {
    this.checkAlive(`write "${path}"`);
    this.files.writeFile(path, typeof data === 'string' ? Buffer.from(data, 'utf8') : data, mode);
  }

  /** What the compiler did since boot; null when it is off. */
  jitStats(): JitStats | null {
    const { jitStats } = this.context.cpu;
    return jitStats === null ? null : { ...jitStats };
  }

  /** Makes a directory and those above it; one that exists is left alone. */
  mkdir(path: string, mode = 0o755): void {
    this.checkAlive(`make directory "${path}"`);
    this.files.mkdir(path, mode);
  }

  stats(): MachineStats {
    const { kernel, context } = this;
    const { pgdat, ram } = kernel;
    const { vmstat } = pgdat;
    return {
      instructions: retiredInstructions(ram),
      systemCalls: context.syscalls,
      trapFaults: context.faults,
      forks: kernel.forks,
      contextSwitches: kernel.switches,
      processes: this.processes.size,
      pageFaults: vmstat.pgfault,
      majorFaults: vmstat.pgmajfault,
      pageCopies: vmstat.pgcow,
      pageReuses: vmstat.pgreuse,
      sharedTables: total(vmstat.cowShared),
      tableCopies: total(vmstat.cowBreakCopy),
      tableReuses: total(vmstat.cowBreakReuse),
      tableFallbacks: vmstat.cowPteFallback,
      oomKills: vmstat.oomKill,
      memoryBytes: ram.layout.bytes,
      freeBytes: pgdat.freeFrames * PAGE_SIZE,
      swapBytes: pgdat.swap.totalPages * PAGE_SIZE,
      swapFreeBytes: pgdat.swap.freePages * PAGE_SIZE,
      swapIns: vmstat.pswpin,
      swapOuts: vmstat.pswpout,
      pageTableBytes: pgdat.pageTables * PAGE_SIZE,
    };
  }

  /** Where the programs have spent their instructions so far; null unless MachineOptions.profile asked for it. */
  profile(): ProfileReport | null {
    const { profile } = this.context;
    return profile === null ? null : profileReport(profile);
  }

  /**
   * AFL's edge map of all programs, as it is now and as they go on writing it: one counter a
   * byte, at `block ^ prev`, after which `prev = block >> 1`; each thread has its own `prev`.
   * Null unless MachineOptions.instrument asked for `edges`.
   */
  coverage(): Uint8Array | null {
    return edgeMap(this.kernel.ram, this.context.cpu.instrument);
  }

  /** What conditional branches compared; null unless MachineOptions.instrument asked for it. */
  compareLog(): CompareLog | null {
    return compareLog(this.kernel.ram, this.context.cpu.instrument);
  }

  /** Where branches, calls and returns led; null unless MachineOptions.instrument asked for it. */
  blockTrace(): BlockTrace | null {
    return blockTrace(this.kernel.ram, this.context.cpu.instrument);
  }

  /** Empties the edge map, the log of comparisons and the trace of blocks. */
  clearCoverage(): void {
    clearInstrument(this.kernel.ram, this.context.cpu.instrument);
  }

  /** Lines of the kernel's log, as dmesg prints them. */
  dmesg(): readonly string[] {
    return this.kernel.log.lines;
  }

  /** Ends every process and gives the memory back to the host. No method works afterwards. */
  async dispose(): Promise<void> {
    if (this.events.delivering) throw errnoError(-EBUSY, 'dispose of the machine');
    this.end(new CowshedError('ERR_DISPOSED', 'The machine has been disposed of'));
  }

  /** The budget is used up, the kernel found a bug in itself, or a callback of the embedder threw. */
  private fail(error: unknown): void {
    if (error instanceof CowshedError && error.code === ERR_INSTRUCTION_LIMIT) {
      this.end(error);
      return;
    }
    const text = error instanceof Error ? error.message : String(error);
    this.end(new CowshedError('ERR_MACHINE', `The machine has stopped: ${text}`, error));
  }

  private end(reason: CowshedError): void {
    if (this.failure !== null) return;
    this.failure = reason;
    this.loop.stop();
    const open = [...this.processes.values()];
    for (const { process } of open) process.fail(reason);
    try {
      killAll(this.kernel);
      killAllSuperBlocks(this.tree.vfs);
    } catch {
      // A machine that broke may be too broken to be taken down in order: its memory goes anyway.
    }
    this.swapAreas.close();
    for (const { stdio } of open) stdio.close();
    if (this.keepAlive !== null) clearInterval(this.keepAlive);
  }

  private checkAlive(action: string): void {
    const { failure } = this;
    if (this.events.delivering) throw errnoError(-EBUSY, action);
    if (failure === null) return;
    throw new CowshedError(failure.code, `Cannot ${action}: ${failure.message}`, failure.cause);
  }

  /**
   * Frames in use that were not at boot and hold no cached file: 0 when nothing runs and
   * nothing has leaked. For tests.
   */
  leakedFrames(): number {
    return this.bootFrames - this.kernel.pgdat.freeFrames - this.files.cachedPages();
  }

  /** The kernel's state. For tests and inspectors: not part of the stable interface. */
  get internals(): Kernel {
    return this.kernel;
  }
}

function credOf({ uid = 0, gid = 0 }: SpawnOptions): Cred {
  if (uid === 0 && gid === 0) return ROOT_CRED;
  return {
    uid,
    euid: uid,
    suid: uid,
    fsuid: uid,
    gid,
    egid: gid,
    sgid: gid,
    fsgid: gid,
    groups: [],
  };
}
