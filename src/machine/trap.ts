/**
 * The trap loop: runs one task until it sleeps, ends or has had its time slice. Everything a
 * program does to the kernel comes through here.
 *
 * @linux arch/riscv/kernel/traps.c, entry.S
 */

import {
  CAUSE_BREAKPOINT,
  CAUSE_BUDGET,
  CAUSE_ECALL_U,
  CAUSE_ILLEGAL_INSN,
  CAUSE_INSN_ACCESS,
  CAUSE_INSN_MISALIGNED,
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_MISALIGNED,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_MISALIGNED,
  CAUSE_STORE_PAGE_FAULT,
} from '../arch/riscv/cause.ts';
import { HART_A7, HART_INSTRET, HART_TVAL } from '../arch/riscv/hart_state.ts';
import { TASK_SIZE } from '../arch/riscv/pgtable.ts';
import type { Cpu } from '../cpu/cpu.ts';
import { doSignal, syscallReturn } from '../kernel/do_signal.ts';
import { resumeTracee, syscallExitWork, syscallTraceEnter } from '../kernel/entry.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { outOfMemory } from '../kernel/oom_kill.ts';
import { NO_RETURN, SLEEP, switchTo } from '../kernel/sched.ts';
import { forceSignal, killProcess, sigInfo } from '../kernel/signal.ts';
import { currentPc } from '../kernel/sigframe.ts';
import { TASK_RUNNING, type Task } from '../kernel/task.ts';
import { takeUserfault, waitForUserfault } from '../kernel/userfaultfd.ts';
import { bug } from '../lib/assert.ts';
import { TWO32 } from '../lib/bits.ts';
import { userFault } from '../mm/fault.ts';
import {
  FAULT_FLAG_EXEC,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  VM_FAULT_ACCERR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
} from '../mm/vm_fault.ts';
import { SyscallArgs, type SyscallHandler } from '../syscalls/args.ts';
import type { Strace } from '../syscalls/strace.ts';
import { EFAULT, ENOSYS, ERESTARTSYS, ERESTART_RESTARTBLOCK } from '../uapi/errno.ts';
import {
  BUS_ADRALN,
  BUS_ADRERR,
  ILL_ILLOPC,
  SEGV_ACCERR,
  SEGV_MAPERR,
  SIGBUS,
  SIGILL,
  SIGKILL,
  SIGSEGV,
  SIGTRAP,
  TRAP_BRKPT,
} from '../uapi/signal.ts';
import { runProfiled, type Profile } from './profile/profile.ts';

const A7 = HART_A7 >> 2;
const TVAL = HART_TVAL >> 2;
const INSTRET = HART_INSTRET >> 2;
/** What a system call or fault counts in the time slice, in instructions. */
const TRAP_COST = 500;

/** Free frames below which a copy to or from user memory may have failed for want of one. */
const OOM_RESERVE = 16;

/** What the loop needs, made once per machine. */
export class TrapContext {
  readonly kernel: Kernel;
  readonly cpu: Cpu;
  readonly args: SyscallArgs;
  /** Handler by number; undefined is ENOSYS. */
  readonly handlers: readonly (SyscallHandler | undefined)[];
  /** --strace, null when off. */
  strace: Strace | null = null;
  /** --profile, null when off. */
  profile: Profile | null = null;
  /** System calls and page faults since boot. */
  syscalls = 0;
  faults = 0;

  constructor(kernel: Kernel, cpu: Cpu, handlers: readonly (SyscallHandler | undefined)[]) {
    this.kernel = kernel;
    this.cpu = cpu;
    this.args = new SyscallArgs(kernel.ram);
    this.handlers = handlers;
  }
}

/**
 * Whether a call that could not reach user memory failed for want of frames. The OOM killer
 * has then made room and the call is to be made again.
 */
function ranOutOfMemory(kernel: Kernel, task: Task, result: number): boolean {
  const { pgdat } = kernel;
  if (result !== -EFAULT || !pgdat.faultOom || pgdat.freeFrames >= OOM_RESERVE) return false;
  killForMemory(kernel, task);
  return true;
}

/** Whether a call could not reach user memory whose pages the program itself fills in: it sleeps, and is made again. */
function mustWaitForPage(kernel: Kernel, task: Task, result: number): boolean {
  const fault = takeUserfault(kernel);
  if (result !== -EFAULT || fault === null) return false;
  waitForUserfault(task, fault, true);
  return true;
}

/** The system call at pc; a tracee may stop first. @hot */
function doSyscall(context: TrapContext, task: Task): void {
  if (task.ptrace !== null && !task.inSyscall && syscallTraceEnter(context.kernel, task)) return;
  invokeSyscall(context, task);
}

/** Runs the handler of the system call at pc. @hot */
function invokeSyscall(context: TrapContext, task: Task): void {
  const { kernel, strace } = context;
  const nr = kernel.ram.i32[A7]!;
  context.syscalls++;
  const handler = context.handlers[nr];
  strace?.enter(kernel, task, nr, context.args);
  kernel.pgdat.userfault = null;
  kernel.pgdat.faultOom = false;
  const result = handler === undefined ? -ENOSYS : handler(kernel, task, context.args);
  if (
    result === SLEEP ||
    (kernel.pgdat.userfault !== null && mustWaitForPage(kernel, task, result))
  ) {
    task.inSyscall = true;
    return;
  }
  if (ranOutOfMemory(kernel, task, result)) {
    if (task.sigpending) doSignal(kernel, task, 0);
    return;
  }
  strace?.leave(task, nr, result);
  if (task.ptrace !== null && syscallExitWork(kernel, task, result)) return;
  if (result === NO_RETURN) {
    task.sysState = null;
    task.inSyscall = false;
    // exec left the new registers in task.regs.
    if (task.state === TASK_RUNNING && kernel.current !== task) switchTo(kernel, task);
    if (task.sigpending) doSignal(kernel, task, 0);
    return;
  }
  if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) {
    doSignal(kernel, task, -result);
    return;
  }
  syscallReturn(kernel, task, result);
  if (task.sigpending) doSignal(kernel, task, 0);
}

/** Runs the OOM killer; what failed is tried again after it, unless the current task was killed. */
function killForMemory(kernel: Kernel, task: Task): void {
  if (outOfMemory(kernel) === null) killProcess(task.signal, SIGKILL);
}

/** A fault that the memory manager could not serve: out of memory, a wait, or a signal. */
function badArea(kernel: Kernel, task: Task, addr: number, result: number): void {
  if ((result & VM_FAULT_OOM) !== 0) {
    killForMemory(kernel, task);
    return;
  }
  if ((result & VM_FAULT_RETRY) !== 0) {
    waitForUserfault(task, takeUserfault(kernel)!, false);
    return;
  }
  if ((result & VM_FAULT_SIGBUS) !== 0) {
    forceSignal(task, sigInfo(SIGBUS, BUS_ADRERR, { addr }));
    return;
  }
  const code = (result & VM_FAULT_ACCERR) !== 0 ? SEGV_ACCERR : SEGV_MAPERR;
  forceSignal(task, sigInfo(SIGSEGV, code, { addr }));
}

/** @hot */
function pageFault(context: TrapContext, task: Task, flags: number): void {
  const { kernel } = context;
  const { i32 } = kernel.ram;
  context.faults++;
  const addr = (i32[TVAL + 1]! >>> 0) * TWO32 + (i32[TVAL]! >>> 0);
  const result = userFault(task.mm!, addr, flags | FAULT_FLAG_USER);
  if (result !== 0) badArea(kernel, task, addr, result);
}

/** An instruction that cannot be executed. */
function exception(kernel: Kernel, task: Task, cause: number): void {
  const { i32 } = kernel.ram;
  const tval = (i32[TVAL + 1]! >>> 0) * TWO32 + (i32[TVAL]! >>> 0);
  const pc = currentPc(kernel);
  switch (cause) {
    case CAUSE_ILLEGAL_INSN:
      forceSignal(task, sigInfo(SIGILL, ILL_ILLOPC, { addr: pc }));
      return;
    case CAUSE_BREAKPOINT:
      forceSignal(task, sigInfo(SIGTRAP, TRAP_BRKPT, { addr: pc }));
      return;
    case CAUSE_INSN_MISALIGNED:
    case CAUSE_LOAD_MISALIGNED:
    case CAUSE_STORE_MISALIGNED:
      forceSignal(task, sigInfo(SIGBUS, BUS_ADRALN, { addr: tval }));
      return;
    default:
      if (cause < CAUSE_INSN_ACCESS || cause > CAUSE_STORE_PAGE_FAULT) {
        bug(`trap: unknown cause ${cause} at pc 0x${pc.toString(16)}`);
      }
      // Access faults: outside what an address can be at all.
      forceSignal(
        task,
        sigInfo(SIGSEGV, tval < TASK_SIZE ? SEGV_ACCERR : SEGV_MAPERR, { addr: tval }),
      );
  }
}

/** Serves one trap other than the end of the slice. @hot */
function userTrap(context: TrapContext, task: Task, cause: number): void {
  const { kernel } = context;
  switch (cause) {
    case CAUSE_ECALL_U:
      doSyscall(context, task);
      return;
    case CAUSE_LOAD_PAGE_FAULT:
      pageFault(context, task, 0);
      break;
    case CAUSE_STORE_PAGE_FAULT:
      pageFault(context, task, FAULT_FLAG_WRITE);
      break;
    case CAUSE_INSN_PAGE_FAULT:
      pageFault(context, task, FAULT_FLAG_EXEC);
      break;
    default:
      exception(kernel, task, cause);
  }
  if (task.sigpending) doSignal(kernel, task, 0);
}

/**
 * Runs `task`, which is on the hart, until it sleeps, stops, ends or has used up its slice.
 * @param slice instructions.
 * @hot
 */
export function runSlice(context: TrapContext, task: Task, slice: number): void {
  const { kernel, cpu, profile } = context;
  const { i32 } = kernel.ram;
  kernel.needResched = false;
  if (task.ptraceStop !== null) {
    if (resumeTracee(kernel, task)) invokeSyscall(context, task);
  } else if (task.inSyscall) doSyscall(context, task);
  else if (task.sigpending) doSignal(kernel, task, 0);
  const start = i32[INSTRET]!;
  let left = slice;
  let traps = 0;
  while (task.state === TASK_RUNNING && !kernel.needResched && left > 0) {
    const cause = profile === null ? cpu.run(left) : runProfiled(profile, cpu, task, left);
    if (cause === CAUSE_BUDGET) return;
    userTrap(context, task, cause);
    traps += TRAP_COST;
    left = slice - ((i32[INSTRET]! - start) | 0) - traps;
  }
}
