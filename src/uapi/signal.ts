/** Signals. @linux include/uapi/asm-generic/signal.h, siginfo.h, arch/riscv/include/uapi/asm/ucontext.h */

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGSTKFLT = 16;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIGURG = 23;
export const SIGXCPU = 24;
export const SIGXFSZ = 25;
export const SIGVTALRM = 26;
export const SIGPROF = 27;
export const SIGWINCH = 28;
export const SIGIO = 29;
export const SIGPWR = 30;
export const SIGSYS = 31;
export const SIGRTMIN = 32;
export const NSIG = 64;

const NAMES = [
  '',
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
  'SIGSTKFLT',
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGPROF',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
];

/** `signalName(11)` is `'SIGSEGV'`; real-time signals are `'SIGRT_<n>'` counted from 32. */
export function signalName(sig: number): string {
  return NAMES[sig] ?? `SIGRT_${sig - SIGRTMIN}`;
}

/** Number of `SIGTERM`, `TERM` or `15`; 0 if there is no such signal. */
export function signalNumber(name: string | number): number {
  if (typeof name === 'number') return name >= 1 && name <= NSIG ? name : 0;
  const upper = name.toUpperCase();
  const index = NAMES.indexOf(upper.startsWith('SIG') ? upper : `SIG${upper}`);
  return Math.max(0, index);
}

export const SA_NOCLDSTOP = 0x1;
export const SA_NOCLDWAIT = 0x2;
export const SA_SIGINFO = 0x4;
export const SA_ONSTACK = 0x0800_0000;
export const SA_RESTART = 0x1000_0000;
export const SA_NODEFER = 0x4000_0000;
/** Bit 31, as a signed word. */
export const SA_RESETHAND = -0x8000_0000;
/** The flags this kernel knows; rt_sigaction drops the others. */
export const SA_KNOWN =
  SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND;

export const SIG_DFL = 0;
export const SIG_IGN = 1;

export const SIG_BLOCK = 0;
export const SIG_UNBLOCK = 1;
export const SIG_SETMASK = 2;

/** struct sigaction of riscv64: handler, flags, mask; there is no restorer. */
export const SIGACTION_BYTES = 24;
export const SIGSET_BYTES = 8;

export const SS_ONSTACK = 1;
export const SS_DISABLE = 2;
/** Bit 31, as a signed word. */
export const SS_AUTODISARM = -0x8000_0000;
/** stack_t: sp, flags, size. */
export const STACK_T_BYTES = 24;
export const MINSIGSTKSZ = 2048;

// si_code
export const SI_USER = 0;
export const SI_KERNEL = 0x80;
export const SI_QUEUE = -1;
export const SI_TIMER = -2;
export const SI_TKILL = -6;
export const ILL_ILLOPC = 1;
export const ILL_ILLTRP = 4;
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const BUS_ADRALN = 1;
export const BUS_ADRERR = 2;
export const TRAP_BRKPT = 1;
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;
export const CLD_DUMPED = 3;
export const CLD_TRAPPED = 4;
export const CLD_STOPPED = 5;
export const CLD_CONTINUED = 6;

// siginfo_t, in bytes.
export const SIGINFO_BYTES = 128;
export const SI_SIGNO = 0;
export const SI_ERRNO = 4;
export const SI_CODE = 8;
/** si_addr; also si_pid (4 bytes), and si_tid of a timer. */
export const SI_ADDR = 16;
export const SI_PID = 16;
export const SI_UID = 20;
/** si_status of SIGCHLD, si_value of the others (8 bytes). */
export const SI_STATUS = 24;
export const SI_VALUE = 24;
export const SI_TIMER_TID = 16;
export const SI_TIMER_OVERRUN = 20;

/*
 * struct rt_sigframe: siginfo_t, then struct ucontext:
 *
 *     0    uc_flags   8  uc_link   16 uc_stack (24)   40 uc_sigmask (8, then 120 unused)
 *     176  sc_regs: pc, x1..x31 (256)   432 sc_fpregs: f0..f31 (256), fcsr (4), to 528 bytes
 */
export const FRAME_UCONTEXT = SIGINFO_BYTES;
export const UC_STACK = 16;
export const UC_SIGMASK = 40;
export const UC_REGS = 176;
export const UC_FPREGS = 432;
export const UC_FCSR = UC_FPREGS + 256;
export const UCONTEXT_BYTES = 960;
export const SIGFRAME_BYTES = SIGINFO_BYTES + UCONTEXT_BYTES;

// struct sigevent (64 bytes): value, signo, notify, tid.
export const SIGEV_SIGNAL = 0;
export const SIGEV_NONE = 1;
export const SIGEV_THREAD = 2;
export const SIGEV_THREAD_ID = 4;
