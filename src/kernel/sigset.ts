/** Signal sets: 64 bits as two words, signal n at bit n-1. */

import {
  NSIG,
  SIGBUS,
  SIGCHLD,
  SIGCONT,
  SIGFPE,
  SIGILL,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGSYS,
  SIGTRAP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGWINCH,
} from '../uapi/signal.ts';
import type { SigSet } from './task.ts';

export function sigBit(sig: number): number {
  return 1 << ((sig - 1) & 31);
}

export function sigismember(lo: number, hi: number, sig: number): boolean {
  return ((sig <= 32 ? lo : hi) & sigBit(sig)) !== 0;
}

export function sigaddset(set: SigSet, sig: number): void {
  if (sig <= 32) set.lo |= sigBit(sig);
  else set.hi |= sigBit(sig);
}

export function sigdelset(set: SigSet, sig: number): void {
  if (sig <= 32) set.lo &= ~sigBit(sig);
  else set.hi &= ~sigBit(sig);
}

/** Lowest signal in the set, 0 if it is empty. */
export function firstSignal(lo: number, hi: number): number {
  if (lo !== 0) return 32 - Math.clz32(lo & -lo);
  if (hi !== 0) return 64 - Math.clz32(hi & -hi);
  return 0;
}

function maskOf(signals: readonly number[]): number {
  let mask = 0;
  for (const sig of signals) mask |= sigBit(sig);
  return mask;
}

/** SIGKILL and SIGSTOP: never blocked, caught or ignored. */
export const UNBLOCKABLE = maskOf([SIGKILL, SIGSTOP]);
/** Signals that stop a process by default. */
export const STOP_SIGNALS = maskOf([SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);
export const SIGCONT_BIT = sigBit(SIGCONT);
/** Ignored by default. */
const IGNORE_SIGNALS = maskOf([SIGCONT, SIGCHLD, SIGWINCH, SIGURG]);
/** Raised by an instruction: delivered before any other. */
export const SYNCHRONOUS_SIGNALS = maskOf([SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS]);
/** QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS: the default action dumps core. */
const COREDUMP_SIGNALS = maskOf([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);

export function sigDefaultIgnored(sig: number): boolean {
  return sig <= 32 && (IGNORE_SIGNALS & sigBit(sig)) !== 0;
}

export function sigDefaultStops(sig: number): boolean {
  return sig <= 32 && (STOP_SIGNALS & sigBit(sig)) !== 0;
}

export function sigDumpsCore(sig: number): boolean {
  return sig <= 32 && (COREDUMP_SIGNALS & sigBit(sig)) !== 0;
}

export function validSignal(sig: number): boolean {
  return sig >= 1 && sig <= NSIG;
}
