/**
 * execve(2): opens the program, follows scripts, builds the new address space beside the old
 * one, then changes over. Errors before the change-over are returned; after it the process
 * cannot go back and dies.
 *
 * @linux fs/exec.c
 */

import { REGS_PC, REGS_X } from '../arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignDown, pageAlignUp, TASK_SIZE } from '../arch/riscv/pgtable.ts';
import type { File, FsContext } from '../fs/fs_types.ts';
import { openExec } from '../fs/open.ts';
import { highHalf, lowHalf } from '../lib/bits.ts';
import { mmAlloc, mmput } from '../mm/fork.ts';
import { STACK_GUARD_GAP } from '../mm/mmap_limits.ts';
import { mmfInitFlags } from '../mm/mm_struct.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { EHDR_BYTES, ELF_MAGIC } from '../uapi/elf.ts';
import { EFAULT, ELOOP, ENOENT, ENOEXEC, ENOMEM } from '../uapi/errno.ts';
import { PTRACE_EVENT_EXEC } from '../uapi/ptrace.ts';
import { SIGCHLD, SIGSEGV, SI_KERNEL } from '../uapi/signal.ts';
import { TASK_COMM_LEN } from '../uapi/prctl.ts';
import { BINPRM_BUF_SIZE, kernelRead, type LinuxBinprm } from './binfmt.ts';
import {
  interpreterPath,
  mapElf,
  preferredAddress,
  readElf,
  readInterpreter,
  wantsExecStack,
  type ElfImage,
  type LoadedElf,
} from './binfmt_elf.ts';
import { isScript, loadScript } from './binfmt_script.ts';
import { checkStrings, createElfTables, mapStack } from './exec_stack.ts';
import { execCreds, mmSetCaps, setDumpable } from './cred.ts';
import { detachPid, doExit } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { mmRelease, mmputTask } from './mm_release.ts';
import { ptraceUnlink } from './ptrace.ts';
import { ptraceEvent } from './ptrace_stop.ts';
import { NO_RETURN } from './sched.ts';
import { flushSignalHandlers, forceSignal, resetSigaction, sigInfo } from './signal.ts';
import { RESUME_EVENT, SighandStruct, type Cred, type Rlimits, type Task } from './task.ts';
import { STACK_TOP, mapVdso } from './vdso.ts';

/** Scripts that may run scripts. @linux exec_binprm */
const SCRIPT_DEPTH_MAX = 5;
/** Space kept free below the stack for it to grow into. @linux mmap_base MIN_GAP, MAX_GAP */
const MIN_GAP = 128 * 1024 * 1024;
const MAX_GAP = (TASK_SIZE / 6) * 5;
/**
 * What randomization would add. Without it the pages of the dynamic linker and those of the stack
 * are a power of two apart, and take each other's places in a TLB.
 */
const MMAP_OFFSET = 0x555_000;

const REG_SP = 2;

/** A program ready to run: its address space, not yet anybody's, and where it starts. */
export interface LoadedProgram {
  readonly mm: MmStruct;
  readonly entry: number;
  readonly sp: number;
  readonly comm: string;
}

/** The program could be opened but not loaded: Linux has destroyed the caller by then. */
export class ExecFatal {
  readonly errno: number;

  constructor(errno: number) {
    this.errno = errno;
  }
}

const FD_PATH = /^\/dev\/fd\/(\d+)/;

/** Whether an interpreter could not open the script: execveat()'s descriptor is gone by then. @linux BINPRM_FLAGS_PATH_INACCESSIBLE */
function closedByExec(ctx: FsContext, path: string): boolean {
  const fd = FD_PATH.exec(path)?.[1];
  return fd !== undefined && ctx.files?.getCloexec(Number(fd)) === true;
}

/** Opens what will finally be mapped, through scripts. @returns 0 with bprm.file set, or -errno. */
function openBinary(ctx: FsContext, bprm: LinuxBinprm): number {
  for (let depth = 0; ; depth++) {
    if (depth > SCRIPT_DEPTH_MAX) return -ELOOP;
    bprm.buf.fill(0);
    const n = kernelRead(bprm.file, bprm.buf, 0);
    if (n < 0) return n;
    if (!isScript(bprm.buf)) return 0;
    if (closedByExec(ctx, bprm.interp)) return -ENOENT;
    const interp = loadScript(bprm);
    if (typeof interp === 'number') return interp;
    const file = openExec(ctx.fs, ctx, interp);
    if (typeof file === 'number') return file;
    bprm.file.putFile();
    bprm.file = file;
  }
}

/** The interpreter's image, null if the program needs none, or -errno. The file has one reference. */
function openInterpreter(ctx: FsContext, image: ElfImage): ElfImage | null | number {
  const path = interpreterPath(image);
  if (path === null || typeof path === 'number') return path;
  const file = openExec(ctx.fs, ctx, path);
  if (typeof file === 'number') return file;
  const interp = readInterpreter(file);
  if (typeof interp === 'number') file.putFile();
  return interp;
}

/** Where mappings start to grow down from. @linux mm/util.c:mmap_base */
function mmapBase(stackLimit: number): number {
  const gap = Math.min(Math.max(stackLimit + STACK_GUARD_GAP, MIN_GAP), MAX_GAP);
  return pageAlignDown(STACK_TOP - gap - MMAP_OFFSET);
}

function noteLayout(mm: MmStruct, loaded: LoadedElf): void {
  mm.startCode = loaded.startCode;
  mm.endCode = loaded.endCode;
  mm.startData = loaded.startData;
  mm.endData = loaded.endData;
  mm.startBrk = pageAlignUp(loaded.brk);
  mm.brk = mm.startBrk;
}

/** Maps program, interpreter, stack and sigreturn page. @returns 0 or -errno, with `out` filled in. */
function buildImage(
  kernel: Kernel,
  mm: MmStruct,
  bprm: LinuxBinprm,
  image: ElfImage,
  interp: ElfImage | null,
  cred: Cred,
): { entry: number; sp: number } | number {
  const strings = checkStrings(bprm, mm.limits.stack);
  if (strings < 0) return strings;
  const pointers = (bprm.argv.length + bprm.envp.length) * 8;
  const stack = mapStack(mm, strings + pointers + PAGE_SIZE, wantsExecStack(image));
  if (stack < 0) return stack;
  const loaded = mapElf(mm, image, preferredAddress(interp !== null));
  if (typeof loaded === 'number') return loaded;
  noteLayout(mm, loaded);
  if (kernel.vdso === null) return -ENOMEM;
  const vdso = mapVdso(mm, kernel.vdso);
  if (vdso < 0) return vdso;
  let { entry } = loaded;
  let base = 0;
  if (interp !== null) {
    const linker = mapElf(mm, interp, 0);
    if (typeof linker === 'number') return linker;
    ({ entry } = linker);
    base = linker.bias;
  }
  const sp = createElfTables(kernel, mm, bprm, image, loaded, base, cred);
  return sp < 0 ? sp : { entry, sp };
}

/** A program run by descriptor is named after its file. @linux fs/exec.c:begin_new_exec */
function commOf(bprm: LinuxBinprm): string {
  const { filename } = bprm;
  const byFd = FD_PATH.exec(filename)?.[0] === filename;
  const name = byFd ? bprm.file.path.dentry.name : filename.slice(filename.lastIndexOf('/') + 1);
  return name.slice(0, TASK_COMM_LEN - 1);
}

function loadBinary(
  kernel: Kernel,
  bprm: LinuxBinprm,
  ctx: FsContext,
  limits: Rlimits,
  cred: Cred,
): LoadedProgram | ExecFatal | number {
  const strings = checkStrings(bprm, limits.stack);
  if (strings < 0) return strings;
  const err = openBinary(ctx, bprm);
  if (err !== 0) return err;
  const head = new DataView(bprm.buf.buffer, 0, EHDR_BYTES);
  if (head.getUint32(0, true) !== ELF_MAGIC) return -ENOEXEC;
  const image = readElf(bprm.file, bprm.buf, ENOEXEC);
  if (typeof image === 'number') return image;
  const interp = openInterpreter(ctx, image);
  if (typeof interp === 'number') return interp;
  const program = loadImage(kernel, bprm, image, interp, limits, cred);
  interp?.file.putFile();
  return program;
}

function loadImage(
  kernel: Kernel,
  bprm: LinuxBinprm,
  image: ElfImage,
  interp: ElfImage | null,
  limits: Rlimits,
  cred: Cred,
): LoadedProgram | ExecFatal | number {
  const mm = mmAlloc(kernel.pgdat, limits);
  if (mm === null) return -ENOMEM;
  mmSetCaps(mm, cred);
  mm.mmapBase = mmapBase(limits.stack);
  const built = buildImage(kernel, mm, bprm, image, interp, cred);
  if (typeof built === 'number') {
    mmput(mm);
    return new ExecFatal(-built);
  }
  bprm.file.getFile();
  mm.exeFile = bprm.file;
  return { mm, entry: built.entry, sp: built.sp, comm: commOf(bprm) };
}

/**
 * Loads a program into a new address space.
 * @param ctx whose root, descriptors and rights the interpreters are opened with.
 * @param file the program; its reference is used up.
 * @param filename what it was called: AT_EXECFN, and the name a script is given.
 * @returns the program; -errno when it cannot be run; ExecFatal when Linux would have
 *   destroyed the caller before it noticed.
 */
export function loadProgram(
  kernel: Kernel,
  ctx: FsContext,
  file: File,
  filename: string,
  argv: readonly string[],
  envp: readonly string[],
  limits: Rlimits,
  cred: Cred,
): LoadedProgram | ExecFatal | number {
  const bprm: LinuxBinprm = {
    file,
    filename,
    interp: filename,
    argv: argv.length === 0 ? [''] : argv,
    envp,
    buf: new Uint8Array(BINPRM_BUF_SIZE),
  };
  const program = loadBinary(kernel, bprm, ctx, limits, cred);
  bprm.file.putFile();
  return program;
}

/**
 * Every other thread ends, and this one becomes the leader. Traced ones stay as zombies for
 * their tracer, which exec does not wait for; a leader among them is gone.
 * @linux de_thread
 */
function deThread(kernel: Kernel, task: Task): void {
  const { signal } = task;
  for (const thread of [...signal.threads]) {
    if (thread !== task) doExit(kernel, thread, 0);
  }
  const { leader } = signal;
  if (leader === task) return;
  if (leader.ptrace !== null) ptraceUnlink(leader);
  kernel.tasks.delete(task.pid);
  kernel.recycleRegs(leader.regs);
  detachPid(task, 0);
  task.threadPid = leader.threadPid;
  if (task.threadPid !== null) task.threadPid.task = task;
  task.pid = signal.tgid;
  task.exitSignal = SIGCHLD;
  signal.leader = task;
  kernel.tasks.set(task.pid, task);
}

/** Handlers of its own, all at their defaults but the ignored ones. */
function unshareSighand(task: Task): void {
  const { sighand } = task;
  if (sighand.users > 1) {
    sighand.users--;
    sighand.shared = true;
    task.sighand = new SighandStruct(sighand.actions, true);
  }
  flushSignalHandlers(task.sighand, false);
}

/** Registers of a program at its first instruction: zero but pc and sp. */
export function startThread(task: Task, program: LoadedProgram): void {
  const { regs } = task;
  regs.fill(0);
  regs[REGS_PC] = lowHalf(program.entry);
  regs[REGS_PC + 1] = highHalf(program.entry);
  regs[REGS_X + 2 * REG_SP] = lowHalf(program.sp);
  regs[REGS_X + 2 * REG_SP + 1] = highHalf(program.sp);
}

/** COW page tables stay on over exec: that is how a wrapper turns them on for a program. */
function inheritMmFlags(mm: MmStruct, old: MmStruct): void {
  mm.flags |= mmfInitFlags(old.flags);
}

/** The change-over: from here on `task` is the new program. @linux begin_new_exec, setup_new_exec */
function beginNewExec(kernel: Kernel, task: Task, program: LoadedProgram): void {
  deThread(kernel, task);
  inheritMmFlags(program.mm, task.mm!);
  mmRelease(kernel, task);
  mmputTask(kernel, task);
  task.mm = program.mm;
  task.cred = execCreds(task.cred);
  const { uid, euid, gid, egid } = task.cred;
  setDumpable(program.mm, uid === euid && gid === egid);
  unshareSighand(task);
  task.files = task.files.unshare();
  task.files.closeOnExec();
  task.comm = program.comm;
  task.sasSp = 0;
  task.sasSize = 0;
  task.sasFlags = 2;
  task.pdeathSignal = 0;
  task.savedSigmask = null;
  task.signal.didExec = true;
  // The old registers are dead: nothing is to be saved when the new ones are loaded.
  kernel.current = null;
  startThread(task, program);
}

/**
 * execve(2) for the current task.
 * @param file the opened program; its reference is used up.
 * @returns NO_RETURN, with the new program's registers in task.regs; or -ENOENT, -EACCES,
 *   -ENOEXEC, -ELIBBAD, -E2BIG, -ENOMEM, -ELOOP, -EIO...
 */
export function doExecve(
  kernel: Kernel,
  task: Task,
  file: File,
  filename: string,
  argv: readonly string[],
  envp: readonly string[],
): number {
  const { limits } = task.signal;
  const oldPid = task.pid;
  const cred = execCreds(task.cred);
  const program = loadProgram(kernel, task, file, filename, argv, envp, limits, cred);
  if (typeof program === 'number') return program;
  if (program instanceof ExecFatal) {
    resetSigaction(task.sighand, SIGSEGV);
    forceSignal(task, sigInfo(SIGSEGV, SI_KERNEL));
    return -EFAULT;
  }
  beginNewExec(kernel, task, program);
  const stop = ptraceEvent(task, PTRACE_EVENT_EXEC, oldPid, RESUME_EVENT);
  if (stop !== null) stop.code = NO_RETURN;
  return NO_RETURN;
}
