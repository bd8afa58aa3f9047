/** One row of the table of system calls. */

import type { SyscallHandler } from './args.ts';

/** A call and its state: `note` says what a partial one lacks. */
export interface SyscallRow {
  readonly nr: number;
  readonly name: string;
  readonly status: 'supported' | 'partial' | 'absent';
  readonly note: string;
  readonly handler: SyscallHandler | undefined;
}
