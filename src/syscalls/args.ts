/** Arguments of the system call in progress, read from the hart's a0..a5. */

import { HART_A0 } from '../arch/riscv/hart_state.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { fromHalves, fromHalvesSigned } from '../lib/bits.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';

/** Word index of a0 (x10) in Ram.i32. */
const A0 = HART_A0 >> 2;

/** One per machine: it is a view, valid until the call completes. Argument numbers are 0..5. */
export class SyscallArgs {
  private readonly words: Int32Array;

  constructor(ram: Ram) {
    this.words = ram.i32;
  }

  /** An int: the low 32 bits, signed. */
  int(n: number): number {
    return this.words[A0 + 2 * n]!;
  }

  /** An unsigned int: the low 32 bits. */
  uint(n: number): number {
    return this.words[A0 + 2 * n]! >>> 0;
  }

  /** The high 32 bits, signed. */
  high(n: number): number {
    return this.words[A0 + 2 * n + 1]!;
  }

  /** A pointer or unsigned long. Values of 2^53 and more lose low bits; all are far above TASK_SIZE. */
  ulong(n: number): number {
    return fromHalves(this.words[A0 + 2 * n]!, this.words[A0 + 2 * n + 1]!);
  }

  /** A long, off_t or ssize_t. */
  long(n: number): number {
    return fromHalvesSigned(this.words[A0 + 2 * n]!, this.words[A0 + 2 * n + 1]!);
  }
}

/**
 * One system call for the current task.
 * @returns what goes into a0, or SLEEP / NO_RETURN / -ERESTART* for the trap loop.
 */
export type SyscallHandler = (kernel: Kernel, task: Task, args: SyscallArgs) => number;
