import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { capset, CAP_EMPTY_SET, setDumpable } from '../../../src/kernel/cred.ts';
import { doSignal } from '../../../src/kernel/do_signal.ts';
import { resumeTracee, syscallExitWork, syscallTraceEnter } from '../../../src/kernel/entry.ts';
import { doExit, doWait, WaitResult } from '../../../src/kernel/exit.ts';
import type { Kernel } from '../../../src/kernel/kernel.ts';
import { ptraceMayAccess, ptraceMayAttach } from '../../../src/kernel/ptrace.ts';
import {
  ptraceAttach,
  ptraceCheckAttach,
  ptraceDetach,
  ptraceInterrupt,
  ptraceListen,
  ptraceResume,
  ptraceSetOptions,
  ptraceTraceme,
} from '../../../src/kernel/ptrace_request.ts';
import { getRegset, setRegset, setSyscallInfo } from '../../../src/kernel/ptrace_regset.ts';
import { saveCurrent, switchTo } from '../../../src/kernel/sched.ts';
import { killProcess, sendToGroup, sigInfo } from '../../../src/kernel/signal.ts';
import {
  EXIT_ZOMBIE,
  linkChild,
  ROOT_CRED,
  Task,
  TASK_RUNNING,
  TASK_STOPPED,
  TASK_TRACED,
  type Cred,
} from '../../../src/kernel/task.ts';
import { ECHILD, EINVAL, EIO, ENOSYS, EPERM, ERESTARTSYS, ESRCH } from '../../../src/uapi/errno.ts';
import {
  NT_PRFPREG,
  NT_PRSTATUS,
  PTRACE_CONT,
  PTRACE_EVENT_STOP,
  PTRACE_O_EXITKILL,
  PTRACE_O_TRACESYSGOOD,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  SYSCALL_INFO_BYTES,
} from '../../../src/uapi/ptrace.ts';
import {
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTRAP,
  SIGUSR1,
  SI_KERNEL,
} from '../../../src/uapi/signal.ts';
import { P_ALL, P_PID, WALL, WEXITED, WNOHANG, WSTOPPED } from '../../../src/uapi/wait.ts';
import { bootProc, newTask, USER, type ProcMachine } from '../fs/proc_harness.ts';

let machine: ProcMachine;
let kernel: Kernel;

beforeEach(() => {
  machine = bootProc();
  ({ kernel } = machine);
});

function child(parent: Task, cred: Cred = ROOT_CRED): Task {
  const task = newTask(machine, { parent, cred });
  linkChild(parent.signal, task.signal);
  return task;
}

/** One more thread of a process. */
function thread(leader: Task): Task {
  const pid = kernel.allocPid();
  leader.mm!.users++;
  leader.sighand.users++;
  const task = new Task(pid, leader.tgid, kernel.runQueue, undefined, leader, {
    mm: leader.mm,
    files: leader.files.share(),
    fs: leader.fs.share(),
    sighand: leader.sighand,
    signal: leader.signal,
    cred: leader.cred,
    comm: 'thread',
    exitSignal: -1,
    limits: leader.signal.limits,
  });
  leader.signal.threads.push(task);
  kernel.tasks.set(pid, task);
  return task;
}

/** Gives `task` its turn, as the trap loop does, as far as signals and stops go. */
function turn(task: Task): void {
  if (task.state !== TASK_RUNNING) return;
  kernel.runQueue.remove(task);
  switchTo(kernel, task);
  if (task.ptraceStop !== null) resumeTracee(kernel, task);
  if (task.sigpending) doSignal(kernel, task, 0);
  saveCurrent(kernel);
}

/** @returns [pid, status], or the errno. */
function waitFor(task: Task, pid = -1, options = 0): [number, number] | number {
  const result = new WaitResult();
  const opts = { idType: pid < 0 ? P_ALL : P_PID, id: pid, options: options | WNOHANG | WEXITED };
  const got = doWait(kernel, task, opts, result);
  return got > 0 ? [got, result.status] : got;
}

function stopped(sig: number, event = 0): number {
  return (event << 16) | (sig << 8) | 0x7f;
}

describe('ptraceMayAttach()', () => {
  const other: Cred = { ...USER, uid: 8, euid: 8, suid: 8, fsuid: 8 };
  const setuid: Cred = { ...USER, euid: 0, fsuid: 0 };

  it('goes by all ids of the target, or CAP_SYS_PTRACE', () => {
    const rows: [Cred, Cred, boolean][] = [
      [ROOT_CRED, ROOT_CRED, true],
      [ROOT_CRED, USER, true],
      [USER, USER, true],
      [USER, ROOT_CRED, false],
      [USER, other, false],
      [USER, setuid, false],
      [USER, { ...USER, sgid: 0 }, false],
      [setuid, ROOT_CRED, true],
    ];
    for (const [mine, theirs, may] of rows) {
      const tracer = newTask(machine, { cred: mine });
      assert.equal(ptraceMayAttach(tracer, newTask(machine, { cred: theirs })), may);
    }
    const weak = newTask(machine);
    capset(weak, CAP_EMPTY_SET, CAP_EMPTY_SET, CAP_EMPTY_SET);
    assert.ok(!ptraceMayAttach(weak, newTask(machine, { cred: USER })));
    assert.ok(ptraceMayAttach(weak, newTask(machine)));
  });

  it('goes by the real ids, /proc by those for files', () => {
    const tracer = newTask(machine, { cred: { ...USER, fsuid: 8 } });
    const target = newTask(machine, { cred: USER });
    assert.ok(ptraceMayAttach(tracer, target));
    assert.ok(!ptraceMayAccess(tracer, target));
  });

  it('respects PR_SET_DUMPABLE, but not within a process', () => {
    const tracer = newTask(machine, { cred: USER });
    const target = newTask(machine, { cred: USER });
    setDumpable(target.mm!, false);
    assert.ok(!ptraceMayAttach(tracer, target));
    assert.ok(!ptraceMayAccess(tracer, target));
    assert.ok(ptraceMayAccess(target, thread(target)));
    assert.ok(ptraceMayAttach(newTask(machine), target), 'root');
    setDumpable(target.mm!, true);
    assert.ok(ptraceMayAttach(tracer, target));
  });
});

describe('ptraceAttach()', () => {
  it('refuses the own process, the traced and the dead', () => {
    const tracer = newTask(machine);
    const other = newTask(machine);
    const target = child(other);
    assert.equal(ptraceAttach(tracer, thread(tracer), false, 0), -EPERM);
    assert.equal(ptraceAttach(tracer, target, true, 0), 0);
    assert.equal(ptraceAttach(other, target, true, 0), -EPERM);
    assert.equal(ptraceTraceme(target), -EPERM);
    const dead = child(other);
    doExit(kernel, dead, 0);
    assert.equal(dead.state, EXIT_ZOMBIE);
    assert.equal(ptraceAttach(tracer, dead, true, 0), -EPERM);
  });

  it('shows a stop of a task that is not the child, and its end to the parent afterwards', () => {
    const tracer = newTask(machine);
    const parent = newTask(machine);
    const target = child(parent);
    assert.equal(ptraceAttach(tracer, target, false, 0), 0);
    turn(target);
    assert.equal(target.state, TASK_TRACED);
    assert.equal(waitFor(parent, -1, WSTOPPED), 0, 'the parent sees no ptrace stop');
    assert.deepEqual(waitFor(tracer), [target.pid, stopped(SIGSTOP)]);
    assert.equal(waitFor(tracer), 0);
    assert.equal(ptraceResume(target, PTRACE_CONT, SIGKILL), 0);
    turn(target);
    assert.equal(waitFor(parent), 0, 'the tracer comes first');
    assert.deepEqual(waitFor(tracer), [target.pid, SIGKILL]);
    assert.equal(waitFor(tracer), -ECHILD);
    assert.deepEqual(waitFor(parent), [target.pid, SIGKILL]);
    assert.equal(waitFor(parent), -ECHILD);
  });

  it('makes a stopped task trap at once', () => {
    const tracer = newTask(machine);
    const target = child(tracer);
    killProcess(target.signal, SIGSTOP);
    turn(target);
    assert.equal(target.state, TASK_STOPPED);
    assert.deepEqual(waitFor(tracer, -1, WSTOPPED), [target.pid, stopped(SIGSTOP)]);
    ptraceAttach(tracer, target, true, 0);
    assert.equal(target.state, TASK_TRACED);
    assert.deepEqual(waitFor(tracer), [target.pid, stopped(SIGSTOP, PTRACE_EVENT_STOP)]);
    ptraceDetach(kernel, tracer, target, 0);
    turn(target);
    assert.equal(target.state, TASK_STOPPED, 'let go of, it is stopped again');
  });

  it('keeps a zombie thread for its tracer, and the process until that has waited', () => {
    const tracer = newTask(machine);
    const parent = newTask(machine);
    const leader = child(parent);
    const second = thread(leader);
    ptraceAttach(tracer, second, true, 0);
    doExit(kernel, second, 5 << 8);
    // The last thread's status is that of all.
    doExit(kernel, leader, 6 << 8);
    assert.equal(leader.signal.zombieThreads, 1);
    assert.equal(waitFor(parent), 0);
    assert.deepEqual(waitFor(tracer, -1, WALL), [second.pid, 6 << 8]);
    assert.deepEqual(waitFor(parent), [leader.pid, 6 << 8]);
    assert.equal(kernel.tasks.size, 2);
  });
});

describe('a tracer that ends', () => {
  it('lets tracees go, kills them with PTRACE_O_EXITKILL, and hands zombies over', () => {
    const parent = newTask(machine);
    const tracer = child(parent);
    const [runs, dies, zombie] = [child(parent), child(parent), child(parent)];
    for (const task of [runs, dies, zombie]) ptraceAttach(tracer, task, true, 0);
    ptraceSetOptions(dies, PTRACE_O_EXITKILL);
    ptraceInterrupt(runs);
    turn(runs);
    assert.equal(runs.state, TASK_TRACED);
    doExit(kernel, zombie, 3 << 8);
    assert.equal(waitFor(parent, zombie.pid), 0);
    doExit(kernel, tracer, 0);
    assert.deepEqual([runs.state, runs.ptrace], [TASK_RUNNING, null]);
    assert.deepEqual(waitFor(parent, zombie.pid), [zombie.pid, 3 << 8]);
    turn(dies);
    assert.deepEqual(waitFor(parent, dies.pid), [dies.pid, SIGKILL]);
    turn(runs);
    assert.equal(runs.state, TASK_RUNNING);
  });

  it('is the one thread that attached, not its process', () => {
    const tracer = newTask(machine);
    const second = thread(tracer);
    const target = child(newTask(machine));
    ptraceAttach(second, target, true, 0);
    assert.equal(ptraceCheckAttach(tracer, target, true), -ESRCH);
    assert.equal(ptraceCheckAttach(second, target, true), 0);
    assert.equal(ptraceCheckAttach(second, target, false), -ESRCH, 'it runs');
    doExit(kernel, second, 0);
    assert.equal(target.ptrace, null);
  });
});

describe('group stops', () => {
  it('are told to the parent once, when the traced threads have stopped too', () => {
    const tracer = newTask(machine);
    const parent = newTask(machine);
    const leader = child(parent);
    const traced = thread(leader);
    ptraceAttach(tracer, traced, true, 0);
    killProcess(leader.signal, SIGSTOP);
    turn(leader);
    assert.equal(leader.state, TASK_STOPPED);
    assert.equal(waitFor(parent, -1, WSTOPPED), 0, 'one thread has yet to stop');
    turn(traced);
    assert.deepEqual(waitFor(tracer, -1, WALL), [traced.pid, stopped(SIGSTOP, PTRACE_EVENT_STOP)]);
    assert.deepEqual(waitFor(parent, -1, WSTOPPED), [leader.pid, stopped(SIGSTOP)]);
    assert.equal(ptraceListen(traced), 0);
    assert.equal(ptraceCheckAttach(tracer, traced, false), -ESRCH);
    killProcess(leader.signal, SIGCONT);
    assert.equal(leader.state, TASK_RUNNING);
    turn(traced);
    assert.deepEqual(waitFor(tracer, -1, WALL), [traced.pid, stopped(SIGTRAP, PTRACE_EVENT_STOP)]);
  });

  it('do not wait for a thread that ends', () => {
    const parent = newTask(machine);
    const leader = child(parent);
    const second = thread(leader);
    killProcess(leader.signal, SIGSTOP);
    turn(leader);
    doExit(kernel, second, 0);
    assert.deepEqual(waitFor(parent, -1, WSTOPPED), [leader.pid, stopped(SIGSTOP)]);
  });

  it('are told by SIGCHLD with the right status', () => {
    const parent = newTask(machine);
    const leader = child(parent);
    parent.sighand.actions[(SIGCHLD - 1) * 6] = 0x1000;
    ptraceAttach(parent, leader, false, 0);
    turn(leader);
    const [info] = parent.signal.pending.infos!;
    assert.deepEqual([info!.signo, info!.code, info!.status], [SIGCHLD, 4, SIGSTOP]);
  });
});

/** A tracee that has been resumed by PTRACE_SYSCALL and is at an ecall. */
function atSystemCall(): { tracer: Task; target: Task } {
  const tracer = newTask(machine);
  const target = child(tracer);
  ptraceAttach(tracer, target, false, PTRACE_O_TRACESYSGOOD);
  turn(target);
  ptraceResume(target, PTRACE_SYSCALL, 0);
  turn(target);
  target.regs[2 * 10] = 77;
  target.regs[2 * 17] = 172;
  target.regs[128] = 0x1000;
  switchTo(kernel, target);
  return { tracer, target };
}

function pcAndA0(target: Task): number[] {
  return [target.regs[128]!, target.regs[20]!];
}

describe('system call stops', () => {
  it('show Linux registers and give the handler its own', () => {
    const { tracer, target } = atSystemCall();
    assert.ok(syscallTraceEnter(kernel, target));
    saveCurrent(kernel);
    assert.deepEqual(pcAndA0(target), [0x1004, -ENOSYS]);
    assert.deepEqual(waitFor(tracer), [target.pid, stopped(SIGTRAP | 0x80)]);
    ptraceResume(target, PTRACE_SYSCALL, 0);
    switchTo(kernel, target);
    assert.ok(resumeTracee(kernel, target), 'the handler is to run');
    saveCurrent(kernel);
    assert.deepEqual(pcAndA0(target), [0x1000, 77]);
    switchTo(kernel, target);
    assert.ok(syscallExitWork(kernel, target, 9));
    saveCurrent(kernel);
    assert.deepEqual(pcAndA0(target), [0x1004, 9]);
  });

  it('make an interrupted call again unless the tracer says otherwise', () => {
    for (const [a0, after] of [
      [-ERESTARTSYS, [0x1000, 77]],
      [5, [0x1004, 5]],
    ] as const) {
      const { target } = atSystemCall();
      target.sysState = 'kept';
      assert.ok(syscallExitWork(kernel, target, -ERESTARTSYS));
      saveCurrent(kernel);
      assert.deepEqual(pcAndA0(target), [0x1004, -ERESTARTSYS]);
      target.regs[20] = a0;
      target.regs[21] = a0 < 0 ? -1 : 0;
      ptraceResume(target, PTRACE_CONT, 0);
      switchTo(kernel, target);
      assert.ok(!resumeTracee(kernel, target));
      saveCurrent(kernel);
      assert.deepEqual(pcAndA0(target), after);
      assert.equal(target.sysState, a0 < 0 ? 'kept' : null);
    }
  });

  it('are left by a task that is killed, without the call', () => {
    const { target } = atSystemCall();
    syscallTraceEnter(kernel, target);
    saveCurrent(kernel);
    sendToGroup(target.signal, sigInfo(SIGKILL, SI_KERNEL));
    switchTo(kernel, target);
    assert.ok(!resumeTracee(kernel, target));
    assert.equal(target.state, EXIT_ZOMBIE);
  });

  it('refuse a struct ptrace_syscall_info of another kind of stop', () => {
    const { target } = atSystemCall();
    syscallTraceEnter(kernel, target);
    saveCurrent(kernel);
    const bytes = new Uint8Array(SYSCALL_INFO_BYTES);
    for (const op of [0, 2, 3, 4]) {
      bytes[0] = op;
      assert.equal(setSyscallInfo(target, bytes), -EINVAL);
    }
    bytes[0] = 1;
    bytes[2] = 1;
    assert.equal(setSyscallInfo(target, bytes), -EINVAL, 'flags');
  });
});

describe('register sets', () => {
  it('have the layout of riscv and change only what is given', () => {
    const { target } = atSystemCall();
    saveCurrent(kernel);
    target.ptraceStop = null;
    syscallTraceEnter(kernel, target);
    const words = new Int32Array(getRegset(target, NT_PRSTATUS).buffer);
    assert.equal(words.length, 64);
    assert.deepEqual([words[0], words[20], words[34]], [target.regs[128], target.regs[20], 172]);
    setRegset(kernel, target, NT_PRSTATUS, new Uint8Array([8, 0, 0, 0, 0, 0, 0, 0]));
    assert.deepEqual([target.regs[128], target.regs[34]], [8, 172]);
    assert.equal(target.regs[0], 0, 'x0 stays 0');
    const fp = new Uint8Array(264);
    fp[8] = 3;
    fp[256] = 0xff;
    setRegset(kernel, target, NT_PRFPREG, fp);
    assert.deepEqual([target.regs[66], target.regs[130]], [3, 0xff]);
    assert.deepEqual(getRegset(target, NT_PRFPREG), fp);
  });

  it('that move a task forget its interrupted call', () => {
    const tracer = newTask(machine);
    const target = child(tracer);
    ptraceAttach(tracer, target, false, 0);
    switchTo(kernel, target);
    target.sysState = 'kept';
    doSignal(kernel, target, ERESTARTSYS);
    saveCurrent(kernel);
    const regs = getRegset(target, NT_PRSTATUS);
    setRegset(kernel, target, NT_PRSTATUS, regs);
    assert.deepEqual([target.sysState, target.ptraceStop!.code], ['kept', ERESTARTSYS]);
    regs[0] = 4;
    setRegset(kernel, target, NT_PRSTATUS, regs);
    assert.deepEqual([target.sysState, target.ptraceStop!.code], [null, 0]);
  });
});

describe('ptraceResume()', () => {
  it('has no single step and no signal above 64', () => {
    const tracer = newTask(machine);
    const target = child(tracer);
    ptraceAttach(tracer, target, false, 0);
    turn(target);
    assert.equal(ptraceResume(target, PTRACE_SINGLESTEP, 0), -EIO);
    assert.equal(ptraceResume(target, PTRACE_CONT, 65), -EIO);
    assert.equal(target.state, TASK_TRACED);
    assert.equal(ptraceInterrupt(target), -EIO, 'not seized');
    sendToGroup(target.signal, sigInfo(SIGUSR1, SI_KERNEL));
    assert.equal(target.state, TASK_TRACED, 'a signal does not end a stop');
    assert.equal(ptraceResume(target, PTRACE_CONT, 0), 0);
    turn(target);
    assert.equal(target.ptraceStop?.exitCode, SIGUSR1);
  });
});
