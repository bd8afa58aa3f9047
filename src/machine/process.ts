/** A process of the machine as the embedder sees it: streams, exit status, signals, a clone. */

import type { Readable, Writable } from 'node:stream';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { ttyResize, type Tty } from '../fs/tty.ts';
import { sendToGroup, sigInfo } from '../kernel/signal.ts';
import type { SignalStruct } from '../kernel/task.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import { mmUsage } from '../mm/rss.ts';
import { SI_USER, signalName, signalNumber } from '../uapi/signal.ts';
import { CowshedError } from './errors.ts';

/** Where one standard stream goes: a stream of the Process, nowhere, or the host's own. */
export type StdioKind = 'pipe' | 'null' | 'inherit';

export interface StdioOptions {
  /** Default 'null'. */
  readonly stdin?: StdioKind | undefined;
  /** Default 'pipe'. */
  readonly stdout?: StdioKind | undefined;
  /** Default 'pipe'. */
  readonly stderr?: StdioKind | undefined;
}

/** How a process ended: one of the two is null. */
export interface ExitStatus {
  readonly code: number | null;
  /** `SIGSEGV`... */
  readonly signal: string | null;
}

/** Bytes, as /proc/PID/status has them. */
export interface ProcessMemory {
  /** Resident memory (VmRSS), shared pages included. */
  readonly rss: number;
  /** Page tables (VmPTE): each table is counted for one process. */
  readonly pageTables: number;
  /** Page tables this process shares with others, and resident memory reached through them. */
  readonly sharedPageTables: number;
  readonly sharedRss: number;
}

/** The host's ends of the standard streams. */
export interface ProcessStreams {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly tty: Tty | null;
}

/** What a Process needs of its Machine. */
export interface ProcessHost {
  cloneProcess(signal: SignalStruct, stdio: StdioOptions): Process;
}

function exitStatus(status: number): ExitStatus {
  const killed = status & 0x7f;
  if (killed !== 0) return { code: null, signal: signalName(killed) };
  return { code: (status >> 8) & 0xff, signal: null };
}

export class Process {
  readonly pid: number;
  /** What the program reads on descriptor 0. */
  readonly stdin: Writable;
  /** What it writes on descriptors 1 and 2. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  private readonly host: ProcessHost;
  private readonly signal: SignalStruct;
  private readonly tty: Tty | null;
  private readonly exited: Promise<ExitStatus>;
  private reject: (error: unknown) => void = () => {};

  /** Made by Machine.spawn() and fork(). */
  constructor(host: ProcessHost, signal: SignalStruct, streams: ProcessStreams) {
    this.host = host;
    this.signal = signal;
    this.pid = signal.tgid;
    this.stdin = streams.stdin;
    this.stdout = streams.stdout;
    this.stderr = streams.stderr;
    this.tty = streams.tty;
    this.exited = new Promise((resolve, reject) => {
      this.reject = reject;
      signal.onExit ??= new WaitQueue();
      signal.onExit.add({ wake: () => resolve(exitStatus(signal.exitCode)) });
    });
    // Nobody has to wait for a process, also when the machine breaks.
    this.exited.catch(() => undefined);
  }

  /** Resolves when the process has ended. @throws CowshedError when the machine broke or was disposed of first. */
  wait(): Promise<ExitStatus> {
    return this.exited;
  }

  /** The machine will run nothing any more. */
  fail(error: unknown): void {
    this.reject(error);
  }

  /**
   * Sends a signal, SIGTERM by default.
   * @returns false when the process has ended already.
   * @throws CowshedError EINVAL for a name that is no signal.
   */
  kill(signal: string | number = 'SIGTERM'): boolean {
    const signo = signalNumber(signal);
    if (signo === 0) throw new CowshedError('EINVAL', `Cannot send "${signal}": no such signal`);
    if (this.signal.zombie) return false;
    sendToGroup(this.signal, sigInfo(signo, SI_USER));
    return true;
  }

  /**
   * Clones the process as it is: memory by fork(), every thread with its registers. A system
   * call it sleeps in is made again by the clone, which gets standard streams of its own where
   * it has those of the original.
   * @throws CowshedError ESRCH when it has ended, ENOMEM, EAGAIN.
   */
  fork(stdio: StdioOptions = {}): Process {
    return this.host.cloneProcess(this.signal, stdio);
  }

  /** Tells the programs on its terminal a new window size. Without a terminal nothing happens. */
  resize(rows: number, columns: number): void {
    if (this.tty !== null) ttyResize(this.tty, rows, columns);
  }

  /** @throws CowshedError ESRCH when it has ended. */
  memory(): ProcessMemory {
    const mm = this.signal.threads[0]?.mm;
    if (mm === null || mm === undefined) {
      throw new CowshedError(
        'ESRCH',
        `Cannot read the memory of process ${this.pid}: it has ended`,
      );
    }
    const usage = mmUsage(mm);
    return {
      rss: (usage.anon + usage.file + usage.shmem) * PAGE_SIZE,
      pageTables: usage.tableBytes,
      sharedPageTables: usage.sharedTables * PAGE_SIZE,
      sharedRss: usage.sharedPages * PAGE_SIZE,
    };
  }
}
