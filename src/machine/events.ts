/**
 * What happens to the memory of a machine's processes, told to the embedder as it happens. The
 * memory manager is told to tell only while somebody listens.
 */

import { LEVEL_PMD, LEVEL_PTE } from '../arch/riscv/pgtable.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { BREAK_COPY, FALLBACK_NAMES, type MmEvents } from '../mm/events.ts';
import {
  FAULT_FLAG_EXEC,
  FAULT_FLAG_WRITE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from '../mm/vm_fault.ts';

/** Level of a page table: a `pte` table maps 2 MiB, a `pmd` table 1 GiB, a `pud` table 512 GiB. */
export type TableLevel = 'pte' | 'pmd' | 'pud';

/** A process, by its number (0 = not yet one: a program being loaded), and an address in it. */
export interface Place {
  readonly pid: number;
  readonly address: number;
}

export interface ForkEvent {
  readonly pid: number;
  readonly child: number;
}

export interface TableEvent extends Place {
  readonly level: TableLevel;
}

export interface TableCopiedEvent extends Place {
  /** What kept fork from sharing the table. */
  readonly reason: (typeof FALLBACK_NAMES)[number];
}

export interface TableBrokenEvent extends TableEvent {
  /** `reuse`: nobody else used it any more, so nothing was copied. */
  readonly how: 'copy' | 'reuse';
}

export interface FaultEvent extends Place {
  readonly access: 'read' | 'write' | 'exec';
  readonly result: 'handled' | 'SIGSEGV' | 'SIGBUS' | 'out of memory';
}

export interface ReclaimEvent extends Place {
  /** `swap`: its bytes are there now; `drop`: they can be had again, or nobody needs them. */
  readonly how: 'swap' | 'drop';
  /** Mappings that lost the page, and the entries that had to be written for it. */
  readonly users: number;
  readonly entries: number;
}

export interface SoftDirtyClearedEvent {
  readonly pid: number;
}

/** Events by name. */
export interface MachineEventMap {
  /** A process got a child with a copy of its memory. */
  fork: ForkEvent;
  /** Fork gave the child a page table of the parent. */
  tableShared: TableEvent;
  /** Fork gave the child a copy of a leaf table. */
  tableCopied: TableCopiedEvent;
  /** A process made a shared table its own. */
  tableBroken: TableBrokenEvent;
  /** A process unmapped all of a shared table. */
  tableDropped: TableEvent;
  /** A program, or the kernel for it, touched memory that was not there or not writable. */
  fault: FaultEvent;
  /** A page was taken out of memory. */
  reclaim: ReclaimEvent;
  /** Writing 4 to /proc/PID/clear_refs. */
  softDirtyCleared: SoftDirtyClearedEvent;
}

export type MachineEvent = keyof MachineEventMap;
export type MachineListener<E extends MachineEvent> = (event: MachineEventMap[E]) => void;

function levelName(level: number): TableLevel {
  if (level === LEVEL_PTE) return 'pte';
  return level === LEVEL_PMD ? 'pmd' : 'pud';
}

function accessName(flags: number): FaultEvent['access'] {
  if ((flags & FAULT_FLAG_EXEC) !== 0) return 'exec';
  return (flags & FAULT_FLAG_WRITE) !== 0 ? 'write' : 'read';
}

function resultName(result: number): FaultEvent['result'] {
  if ((result & VM_FAULT_OOM) !== 0) return 'out of memory';
  if ((result & VM_FAULT_SIGBUS) !== 0) return 'SIGBUS';
  return (result & VM_FAULT_SIGSEGV) !== 0 ? 'SIGSEGV' : 'handled';
}

/**
 * The event stream of a machine. A listener is called in the middle of what it is told about:
 * it may look (`stats()`, `memory()`) and keep what it saw; calls that would change the
 * machine throw EBUSY until it has returned.
 */
export class MachineEvents {
  private readonly kernel: Kernel;
  private readonly listeners = new Map<MachineEvent, Set<(event: never) => void>>();
  private readonly onFailure: (error: unknown) => void;
  private running = 0;

  /** @param onFailure called once the kernel has been left, when a listener threw in its middle. */
  constructor(kernel: Kernel, onFailure: (error: unknown) => void) {
    this.kernel = kernel;
    this.onFailure = onFailure;
  }

  /** Whether a listener is being called. */
  get delivering(): boolean {
    return this.running > 0;
  }

  /** Calls `listener` for each event of that name. @returns a function that ends it. */
  on<E extends MachineEvent>(name: E, listener: MachineListener<E>): () => void {
    const set = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, set.add(listener));
    this.kernel.pgdat.events ??= this.receiver();
    return () => this.off(name, listener);
  }

  /** Ends what on() began. */
  off<E extends MachineEvent>(name: E, listener: MachineListener<E>): void {
    const set = this.listeners.get(name);
    set?.delete(listener);
    if (set?.size === 0) this.listeners.delete(name);
    if (this.listeners.size === 0) this.kernel.pgdat.events = null;
  }

  private emit<E extends MachineEvent>(name: E, make: () => MachineEventMap[E]): void {
    const set = this.listeners.get(name);
    if (set === undefined) return;
    const event = make();
    this.running++;
    try {
      for (const listener of [...set]) listener(event as never);
    } catch (error) {
      queueMicrotask(() => this.onFailure(error));
      throw error;
    } finally {
      this.running--;
    }
  }

  /** The process that an address space belongs to. */
  private pidOf(mmId: number): number {
    const { current, tasks } = this.kernel;
    if (current?.mm?.id === mmId) return current.tgid;
    for (const task of tasks.values()) if (task.mm?.id === mmId) return task.tgid;
    return 0;
  }

  private receiver(): MmEvents {
    const place = (mm: number, address: number): Place => ({ pid: this.pidOf(mm), address });
    return {
      forked: (pid, child) => this.emit('fork', () => ({ pid, child })),
      tableShared: (mm, addr, level) =>
        this.emit('tableShared', () => ({ ...place(mm, addr), level: levelName(level) })),
      tableCopied: (mm, addr, reason) =>
        this.emit('tableCopied', () => ({ ...place(mm, addr), reason: FALLBACK_NAMES[reason]! })),
      tableBroken: (mm, addr, level, how) =>
        this.emit('tableBroken', () => ({
          ...place(mm, addr),
          level: levelName(level),
          how: how === BREAK_COPY ? 'copy' : 'reuse',
        })),
      tableDropped: (mm, addr, level) =>
        this.emit('tableDropped', () => ({ ...place(mm, addr), level: levelName(level) })),
      fault: (mm, addr, flags, result) =>
        this.emit('fault', () => ({
          ...place(mm, addr),
          access: accessName(flags),
          result: resultName(result),
        })),
      reclaim: (mm, addr, users, entries, swapped) =>
        this.emit('reclaim', () => ({
          ...place(mm, addr),
          how: swapped ? 'swap' : 'drop',
          users,
          entries,
        })),
      softDirtyCleared: (mm) => this.emit('softDirtyCleared', () => ({ pid: this.pidOf(mm) })),
    };
  }
}
