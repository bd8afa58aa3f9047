/**
 * One line for each system call, as strace(1) prints them: names, integers, strings, flags in
 * hex, and the errno of a failure.
 */

import { rawCopyFromUser, strncpyFromUser } from '../mm/uaccess.ts';
import { ERESTARTSYS, ERESTART_RESTARTBLOCK, errnoName } from '../uapi/errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { NO_RETURN } from '../kernel/sched.ts';
import type { Task } from '../kernel/task.ts';
import { AT_FDCWD, PATH_MAX } from '../uapi/fcntl.ts';
import { signalName } from '../uapi/signal.ts';
import type { SyscallArgs } from './args.ts';
import type { SyscallRow } from './row.ts';

/** Bytes of a buffer or string shown. strace's default. */
const SHOWN = 32;

/**
 * How the arguments of a call are printed, one letter each: d int, u size, x flags or address,
 * D directory fd, s path, w bytes to write (next argument is the count), r bytes that were
 * read, o mode in octal, S signal, _ nothing.
 */
const FORMATS: Readonly<Record<string, string>> = {
  accept4: 'dxxx',
  bind: 'dxu',
  brk: 'x',
  capget: 'xx',
  chdir: 's',
  chroot: 's',
  clock_getres: 'dx',
  clock_gettime: 'dx',
  clock_nanosleep: 'ddxx',
  clone: 'xxxxx',
  clone3: 'xu',
  close: 'd',
  close_range: 'uux',
  connect: 'dxu',
  copy_file_range: 'dxdxux',
  dup: 'd',
  dup3: 'ddx',
  epoll_create1: 'x',
  epoll_ctl: 'dddx',
  epoll_pwait: 'dxddx',
  eventfd2: 'ux',
  execve: 'sxx',
  execveat: 'Dsxxx',
  exit: 'd',
  exit_group: 'd',
  faccessat: 'Dsx',
  faccessat2: 'Dsxx',
  fadvise64: 'duud',
  fallocate: 'dxuu',
  fchdir: 'd',
  fchmod: 'do',
  fchmodat: 'Dso',
  fchown: 'ddd',
  fchownat: 'Dsddx',
  fcntl: 'ddx',
  fdatasync: 'd',
  flock: 'dx',
  fstat: 'dx',
  fstatfs: 'dx',
  fsync: 'd',
  ftruncate: 'du',
  futex: 'xxdxxx',
  getcwd: 'xu',
  getdents64: 'dxu',
  getitimer: 'dx',
  getpeername: 'dxx',
  getpgid: 'd',
  getpriority: 'dd',
  getrandom: 'xux',
  getrusage: 'dx',
  getsid: 'd',
  getsockname: 'dxx',
  getsockopt: 'dddxx',
  ioctl: 'dxx',
  kill: 'dS',
  linkat: 'DsDsx',
  listen: 'dd',
  lseek: 'ddd',
  madvise: 'xud',
  membarrier: 'dxd',
  mincore: 'xux',
  mkdirat: 'Dso',
  mknodat: 'Dsox',
  mlock: 'xu',
  mmap: 'xuxxdx',
  mprotect: 'xux',
  mremap: 'xuuxx',
  msync: 'xux',
  munlock: 'xu',
  munmap: 'xu',
  nanosleep: 'xx',
  newfstatat: 'Dsxx',
  openat: 'Dsxo',
  personality: 'x',
  pidfd_open: 'dx',
  pipe2: 'xx',
  ppoll: 'xuxxu',
  prctl: 'dxxxx',
  pread64: 'druu',
  prlimit64: 'ddxx',
  pselect6: 'dxxxxx',
  ptrace: 'xdxx',
  pwrite64: 'dwuu',
  read: 'dru',
  readlinkat: 'Dsxu',
  readv: 'dxd',
  recvfrom: 'dxuxxx',
  recvmsg: 'dxx',
  renameat2: 'DsDsx',
  riscv_flush_icache: 'xxx',
  riscv_hwprobe: 'xuuxx',
  rseq: 'xuxx',
  rt_sigaction: 'Sxxu',
  rt_sigpending: 'xu',
  rt_sigprocmask: 'dxxu',
  rt_sigqueueinfo: 'dSx',
  rt_sigreturn: '',
  rt_sigsuspend: 'xu',
  rt_sigtimedwait: 'xxxu',
  sched_getaffinity: 'dux',
  sched_setaffinity: 'dux',
  sendfile: 'ddxu',
  sendmsg: 'dxx',
  sendto: 'dwuxxu',
  set_robust_list: 'xu',
  set_tid_address: 'x',
  setitimer: 'dxx',
  setpgid: 'dd',
  setpriority: 'ddd',
  setsockopt: 'dddxu',
  shutdown: 'dd',
  sigaltstack: 'xx',
  socket: 'dxd',
  socketpair: 'dxdx',
  splice: 'dxdxux',
  statfs: 'sx',
  statx: 'Dsxxx',
  symlinkat: 'sDs',
  sysinfo: 'x',
  tgkill: 'ddS',
  timer_create: 'dxx',
  timer_settime: 'dxxx',
  timerfd_create: 'dx',
  timerfd_settime: 'dxxx',
  times: 'x',
  tkill: 'dS',
  truncate: 'su',
  umask: 'o',
  uname: 'x',
  unlinkat: 'Dsx',
  utimensat: 'Dsxx',
  wait4: 'dxxx',
  waitid: 'ddxxx',
  write: 'dwu',
  writev: 'dxd',
};

/** Calls without arguments. */
const NO_ARGS = new Set([
  'getpid',
  'gettid',
  'getppid',
  'getuid',
  'geteuid',
  'getgid',
  'getegid',
  'sched_yield',
  'setsid',
  'munlockall',
  'sync',
]);

/** Results that are addresses. */
const HEX_RESULTS = new Set(['brk', 'mmap', 'mremap']);

/** One byte as it stands in a C string. */
function escapeByte(c: string): string {
  if (c === '\n') return '\\n';
  if (c === '\t') return '\\t';
  if (c === '\r') return '\\r';
  if (c === '"' || c === '\\') return `\\${c}`;
  return c < ' ' || c > '~' ? `\\${c.charCodeAt(0).toString(8)}` : c;
}

/** A byte string in quotes. */
function quote(text: string, more: boolean): string {
  const escaped = Array.from(text, escapeByte).join('');
  return `"${escaped}"${more ? '...' : ''}`;
}

function userBytes(task: Task, addr: number, len: number): string {
  const shown = Math.min(len, SHOWN);
  const bytes = new Uint8Array(shown);
  if (task.mm === null) return `0x${addr.toString(16)}`;
  const n = rawCopyFromUser(task.mm, bytes, 0, addr, shown);
  if (n < shown) return `0x${addr.toString(16)}`;
  return quote(Buffer.from(bytes).toString('latin1'), len > shown);
}

function userPath(task: Task, addr: number): string {
  if (addr === 0) return 'NULL';
  const text = strncpyFromUser(task.mm!, addr, PATH_MAX);
  return typeof text === 'number' ? `0x${addr.toString(16)}` : quote(text, false);
}

function hex(value: number): string {
  return value === 0 ? '0' : `0x${value.toString(16)}`;
}

export class Strace {
  private readonly rows: readonly (SyscallRow | undefined)[];
  private readonly emit: (line: string) => void;
  private firstPid = 0;
  /** Arguments of the call in progress, all but those only known afterwards. */
  private texts: string[] = [];
  /** Place of an `r` argument and its address; -1 if there is none. */
  private readAt = -1;
  private readAddr = 0;

  /** @param emit called with each line. */
  constructor(table: readonly SyscallRow[], emit: (line: string) => void) {
    const rows: SyscallRow[] = [];
    for (const row of table) rows[row.nr] = row;
    this.rows = rows;
    this.emit = emit;
  }

  private name(nr: number): string {
    return this.rows[nr]?.name ?? `syscall_${nr}`;
  }

  /** Before a call, and again each time one that slept runs again. */
  enter(_kernel: Kernel, task: Task, nr: number, args: SyscallArgs): void {
    const name = this.name(nr);
    const format = FORMATS[name] ?? (NO_ARGS.has(name) ? '' : 'xxxxxx');
    this.readAt = -1;
    this.texts = [];
    for (let n = 0; n < format.length; n++)
      this.texts.push(this.argument(task, args, n, format[n]!));
  }

  private argument(task: Task, args: SyscallArgs, n: number, letter: string): string {
    switch (letter) {
      case 'd':
        return String(args.int(n));
      case 'u':
        return String(args.ulong(n));
      case 'o':
        return `0${args.uint(n).toString(8)}`;
      case 's':
        return userPath(task, args.ulong(n));
      case 'S':
        return args.int(n) > 0 ? signalName(args.int(n)) : String(args.int(n));
      case 'D':
        return args.int(n) === AT_FDCWD ? 'AT_FDCWD' : String(args.int(n));
      case 'w':
        return userBytes(task, args.ulong(n), args.ulong(n + 1));
      case 'r':
        this.readAt = n;
        this.readAddr = args.ulong(n);
        return hex(this.readAddr);
      default:
        return hex(args.ulong(n));
    }
  }

  /** After a call that has ended. */
  leave(task: Task, nr: number, result: number): void {
    const name = this.name(nr);
    if (this.readAt >= 0 && result >= 0) {
      this.texts[this.readAt] = userBytes(task, this.readAddr, result);
    }
    if (this.firstPid === 0) this.firstPid = task.pid;
    const who = task.pid === this.firstPid ? '' : `[pid ${task.pid}] `;
    const absent = this.rows[nr]?.handler === undefined ? ' (not implemented)' : '';
    this.emit(`${who}${name}(${this.texts.join(', ')}) = ${resultText(name, result)}${absent}`);
  }
}

function resultText(name: string, result: number): string {
  if (result === NO_RETURN) return name.startsWith('execve') ? '0' : '?';
  if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) return '? ERESTARTSYS';
  if (result < 0 && result > -4096) return `-1 ${errnoName(-result)}`;
  return HEX_RESULTS.has(name) ? hex(result) : String(result);
}
