/**
 * Every system call number with its handler, and how far it goes. The document of system
 * calls is made from this table.
 */

import * as unistd from '../uapi/unistd.ts';
import type { SyscallHandler } from './args.ts';
import * as cred from './cred.ts';
import * as epoll from './epoll.ts';
import * as file from './file.ts';
import * as fileAttr from './file_attr.ts';
import * as fileCopy from './file_copy.ts';
import * as fileDir from './file_dir.ts';
import * as fileFcntl from './file_fcntl.ts';
import * as fileRw from './file_rw.ts';
import * as fileStat from './file_stat.ts';
import * as futex from './futex.ts';
import * as mempolicy from './mempolicy.ts';
import * as mman from './mman.ts';
import * as pidfd from './pidfd.ts';
import * as poll from './poll.ts';
import * as process from './process.ts';
import * as processVm from './process_vm.ts';
import * as ptrace from './ptrace.ts';
import * as signal from './signal.ts';
import * as splice from './splice.ts';
import * as socket from './socket.ts';
import * as swap from './swap.ts';
import * as sys from './sys.ts';
import * as time from './time.ts';
import * as userfaultfd from './userfaultfd.ts';
import type { SyscallRow } from './row.ts';

function supported(nr: number, name: string, handler: SyscallHandler): SyscallRow {
  return { nr, name, status: 'supported', note: '', handler };
}

function partial(nr: number, name: string, handler: SyscallHandler, note: string): SyscallRow {
  return { nr, name, status: 'partial', note, handler };
}

const ROWS: readonly SyscallRow[] = [
  supported(unistd.NR_GETUID, 'getuid', cred.sysGetuid),
  supported(unistd.NR_GETEUID, 'geteuid', cred.sysGeteuid),
  supported(unistd.NR_GETGID, 'getgid', cred.sysGetgid),
  supported(unistd.NR_GETEGID, 'getegid', cred.sysGetegid),
  supported(unistd.NR_SETUID, 'setuid', cred.sysSetuid),
  supported(unistd.NR_SETGID, 'setgid', cred.sysSetgid),
  supported(unistd.NR_SETREUID, 'setreuid', cred.sysSetreuid),
  supported(unistd.NR_SETREGID, 'setregid', cred.sysSetregid),
  supported(unistd.NR_SETRESUID, 'setresuid', cred.sysSetresuid),
  supported(unistd.NR_SETRESGID, 'setresgid', cred.sysSetresgid),
  supported(unistd.NR_GETRESUID, 'getresuid', cred.sysGetresuid),
  supported(unistd.NR_GETRESGID, 'getresgid', cred.sysGetresgid),
  supported(unistd.NR_SETFSUID, 'setfsuid', cred.sysSetfsuid),
  supported(unistd.NR_SETFSGID, 'setfsgid', cred.sysSetfsgid),
  supported(unistd.NR_GETGROUPS, 'getgroups', cred.sysGetgroups),
  supported(unistd.NR_SETGROUPS, 'setgroups', cred.sysSetgroups),
  supported(unistd.NR_CAPGET, 'capget', cred.sysCapget),
  partial(
    unistd.NR_CAPSET,
    'capset',
    cred.sysCapset,
    'kept; CAP_IPC_LOCK and some CAP_SYS_* are asked for, ids otherwise',
  ),
  supported(unistd.NR_EVENTFD2, 'eventfd2', epoll.sysEventfd2),
  supported(unistd.NR_EPOLL_CREATE1, 'epoll_create1', epoll.sysEpollCreate1),
  supported(unistd.NR_EPOLL_CTL, 'epoll_ctl', epoll.sysEpollCtl),
  supported(unistd.NR_EPOLL_PWAIT, 'epoll_pwait', epoll.sysEpollPwait),
  supported(unistd.NR_EPOLL_PWAIT2, 'epoll_pwait2', epoll.sysEpollPwait2),
  supported(unistd.NR_OPENAT, 'openat', file.sysOpenat),
  supported(unistd.NR_OPENAT2, 'openat2', file.sysOpenat2),
  supported(unistd.NR_CLOSE, 'close', file.sysClose),
  supported(unistd.NR_CLOSE_RANGE, 'close_range', file.sysCloseRange),
  supported(unistd.NR_DUP, 'dup', file.sysDup),
  supported(unistd.NR_DUP3, 'dup3', file.sysDup3),
  supported(unistd.NR_PIPE2, 'pipe2', file.sysPipe2),
  partial(
    unistd.NR_SOCKETPAIR,
    'socketpair',
    socket.sysSocketpair,
    'local sockets only, and no descriptors or credentials are passed',
  ),
  supported(unistd.NR_SHUTDOWN, 'shutdown', socket.sysShutdown),
  partial(unistd.NR_SENDTO, 'sendto', socket.sysSendto, 'local sockets only'),
  partial(unistd.NR_RECVFROM, 'recvfrom', socket.sysRecvfrom, 'local sockets only'),
  supported(unistd.NR_MEMFD_CREATE, 'memfd_create', file.sysMemfdCreate),
  supported(unistd.NR_FCHMODAT, 'fchmodat', fileAttr.sysFchmodat),
  supported(unistd.NR_FCHMODAT2, 'fchmodat2', fileAttr.sysFchmodat2),
  supported(unistd.NR_FCHMOD, 'fchmod', fileAttr.sysFchmod),
  supported(unistd.NR_FCHOWNAT, 'fchownat', fileAttr.sysFchownat),
  supported(unistd.NR_FCHOWN, 'fchown', fileAttr.sysFchown),
  supported(unistd.NR_UTIMENSAT, 'utimensat', fileAttr.sysUtimensat),
  supported(unistd.NR_TRUNCATE, 'truncate', fileAttr.sysTruncate),
  supported(unistd.NR_FTRUNCATE, 'ftruncate', fileAttr.sysFtruncate),
  supported(unistd.NR_FALLOCATE, 'fallocate', fileAttr.sysFallocate),
  supported(unistd.NR_FSYNC, 'fsync', fileAttr.sysFsync),
  supported(unistd.NR_FDATASYNC, 'fdatasync', fileAttr.sysFdatasync),
  supported(unistd.NR_SYNC, 'sync', fileAttr.sysSync),
  supported(unistd.NR_SYNCFS, 'syncfs', fileAttr.sysSyncfs),
  supported(unistd.NR_SYNC_FILE_RANGE, 'sync_file_range', fileAttr.sysSyncFileRange),
  partial(unistd.NR_FADVISE64, 'fadvise64', fileAttr.sysFadvise64, 'checked, without effect'),
  partial(unistd.NR_READAHEAD, 'readahead', fileAttr.sysReadahead, 'checked, without effect'),
  partial(
    unistd.NR_SETXATTR,
    'setxattr',
    fileAttr.sysSetxattr,
    'always EOPNOTSUPP: no extended attributes',
  ),
  partial(
    unistd.NR_LSETXATTR,
    'lsetxattr',
    fileAttr.sysLsetxattr,
    'always EOPNOTSUPP: no extended attributes',
  ),
  partial(
    unistd.NR_FSETXATTR,
    'fsetxattr',
    fileAttr.sysFsetxattr,
    'always EOPNOTSUPP: no extended attributes',
  ),
  partial(unistd.NR_GETXATTR, 'getxattr', fileAttr.sysGetxattr, 'no extended attributes'),
  partial(unistd.NR_LGETXATTR, 'lgetxattr', fileAttr.sysLgetxattr, 'no extended attributes'),
  partial(unistd.NR_FGETXATTR, 'fgetxattr', fileAttr.sysFgetxattr, 'no extended attributes'),
  supported(unistd.NR_LISTXATTR, 'listxattr', fileAttr.sysListxattr),
  supported(unistd.NR_LLISTXATTR, 'llistxattr', fileAttr.sysLlistxattr),
  supported(unistd.NR_FLISTXATTR, 'flistxattr', fileAttr.sysFlistxattr),
  partial(unistd.NR_REMOVEXATTR, 'removexattr', fileAttr.sysRemovexattr, 'no extended attributes'),
  partial(
    unistd.NR_LREMOVEXATTR,
    'lremovexattr',
    fileAttr.sysLremovexattr,
    'no extended attributes',
  ),
  partial(
    unistd.NR_FREMOVEXATTR,
    'fremovexattr',
    fileAttr.sysFremovexattr,
    'no extended attributes',
  ),
  supported(unistd.NR_SENDFILE, 'sendfile', fileCopy.sysSendfile),
  supported(unistd.NR_COPY_FILE_RANGE, 'copy_file_range', fileCopy.sysCopyFileRange),
  supported(unistd.NR_MKDIRAT, 'mkdirat', fileDir.sysMkdirat),
  supported(unistd.NR_MKNODAT, 'mknodat', fileDir.sysMknodat),
  supported(unistd.NR_SYMLINKAT, 'symlinkat', fileDir.sysSymlinkat),
  supported(unistd.NR_LINKAT, 'linkat', fileDir.sysLinkat),
  supported(unistd.NR_UNLINKAT, 'unlinkat', fileDir.sysUnlinkat),
  supported(unistd.NR_RENAMEAT2, 'renameat2', fileDir.sysRenameat2),
  supported(unistd.NR_CHDIR, 'chdir', fileDir.sysChdir),
  supported(unistd.NR_FCHDIR, 'fchdir', fileDir.sysFchdir),
  supported(unistd.NR_CHROOT, 'chroot', fileDir.sysChroot),
  supported(unistd.NR_UMASK, 'umask', fileDir.sysUmask),
  partial(unistd.NR_MOUNT, 'mount', fileDir.sysMount, "always EPERM: mounts are the embedder's"),
  partial(
    unistd.NR_UMOUNT2,
    'umount2',
    fileDir.sysUmount2,
    "always EPERM: mounts are the embedder's",
  ),
  supported(unistd.NR_FCNTL, 'fcntl', fileFcntl.sysFcntl),
  supported(unistd.NR_FLOCK, 'flock', fileFcntl.sysFlock),
  supported(unistd.NR_IOCTL, 'ioctl', fileFcntl.sysIoctl),
  supported(unistd.NR_READ, 'read', fileRw.sysRead),
  supported(unistd.NR_WRITE, 'write', fileRw.sysWrite),
  supported(unistd.NR_PREAD64, 'pread64', fileRw.sysPread64),
  supported(unistd.NR_PWRITE64, 'pwrite64', fileRw.sysPwrite64),
  supported(unistd.NR_READV, 'readv', fileRw.sysReadv),
  supported(unistd.NR_WRITEV, 'writev', fileRw.sysWritev),
  supported(unistd.NR_PREADV, 'preadv', fileRw.sysPreadv),
  supported(unistd.NR_PWRITEV, 'pwritev', fileRw.sysPwritev),
  supported(unistd.NR_PREADV2, 'preadv2', fileRw.sysPreadv2),
  supported(unistd.NR_PWRITEV2, 'pwritev2', fileRw.sysPwritev2),
  supported(unistd.NR_LSEEK, 'lseek', fileRw.sysLseek),
  supported(unistd.NR_FSTAT, 'fstat', fileStat.sysFstat),
  supported(unistd.NR_NEWFSTATAT, 'newfstatat', fileStat.sysNewfstatat),
  supported(unistd.NR_STATX, 'statx', fileStat.sysStatx),
  supported(unistd.NR_FACCESSAT, 'faccessat', fileStat.sysFaccessat),
  supported(unistd.NR_FACCESSAT2, 'faccessat2', fileStat.sysFaccessat2),
  supported(unistd.NR_READLINKAT, 'readlinkat', fileStat.sysReadlinkat),
  supported(unistd.NR_GETCWD, 'getcwd', fileStat.sysGetcwd),
  supported(unistd.NR_STATFS, 'statfs', fileStat.sysStatfs),
  supported(unistd.NR_FSTATFS, 'fstatfs', fileStat.sysFstatfs),
  supported(unistd.NR_GETDENTS64, 'getdents64', fileStat.sysGetdents64),
  supported(unistd.NR_VMSPLICE, 'vmsplice', splice.sysVmsplice),
  supported(unistd.NR_SPLICE, 'splice', splice.sysSplice),
  supported(unistd.NR_TEE, 'tee', splice.sysTee),
  partial(unistd.NR_FUTEX, 'futex', futex.sysFutex, 'no priority inheritance'),
  supported(unistd.NR_MMAP, 'mmap', mman.sysMmap),
  supported(unistd.NR_MUNMAP, 'munmap', mman.sysMunmap),
  supported(unistd.NR_BRK, 'brk', mman.sysBrk),
  supported(unistd.NR_MPROTECT, 'mprotect', mman.sysMprotect),
  supported(unistd.NR_MREMAP, 'mremap', mman.sysMremap),
  partial(unistd.NR_MADVISE, 'madvise', mman.sysMadvise, 'MADV_HWPOISON and kin are refused'),
  supported(unistd.NR_PROCESS_MADVISE, 'process_madvise', mman.sysProcessMadvise),
  supported(unistd.NR_MINCORE, 'mincore', mman.sysMincore),
  supported(unistd.NR_MSYNC, 'msync', mman.sysMsync),
  supported(unistd.NR_MLOCK, 'mlock', mman.sysMlock),
  supported(unistd.NR_MLOCK2, 'mlock2', mman.sysMlock2),
  supported(unistd.NR_MUNLOCK, 'munlock', mman.sysMunlock),
  supported(unistd.NR_MLOCKALL, 'mlockall', mman.sysMlockall),
  supported(unistd.NR_MUNLOCKALL, 'munlockall', mman.sysMunlockall),
  supported(unistd.NR_MEMFD_SECRET, 'memfd_secret', mman.sysMemfdSecret),
  supported(unistd.NR_MSEAL, 'mseal', mman.sysMseal),
  partial(
    unistd.NR_MBIND,
    'mbind',
    mempolicy.sysMbind,
    'there is one node; the policy is checked and not kept',
  ),
  partial(
    unistd.NR_USERFAULTFD,
    'userfaultfd',
    userfaultfd.sysUserfaultfd,
    'missing pages only: no write protection, minor faults, moving and poisoning',
  ),
  supported(unistd.NR_RISCV_FLUSH_ICACHE, 'riscv_flush_icache', mman.sysRiscvFlushIcache),
  supported(unistd.NR_PROCESS_VM_READV, 'process_vm_readv', processVm.sysProcessVmReadv),
  supported(unistd.NR_PROCESS_VM_WRITEV, 'process_vm_writev', processVm.sysProcessVmWritev),
  supported(unistd.NR_PPOLL, 'ppoll', poll.sysPpoll),
  supported(unistd.NR_PSELECT6, 'pselect6', poll.sysPselect6),
  partial(unistd.NR_CLONE, 'clone', process.sysCloneCall, 'no namespaces'),
  partial(unistd.NR_CLONE3, 'clone3', process.sysClone3, 'no namespaces, no set_tid'),
  supported(unistd.NR_EXECVE, 'execve', process.sysExecve),
  supported(unistd.NR_EXECVEAT, 'execveat', process.sysExecveat),
  supported(unistd.NR_EXIT, 'exit', process.sysExitCall),
  supported(unistd.NR_EXIT_GROUP, 'exit_group', process.sysExitGroupCall),
  supported(unistd.NR_WAIT4, 'wait4', process.sysWait4),
  supported(unistd.NR_WAITID, 'waitid', process.sysWaitid),
  supported(unistd.NR_PIDFD_OPEN, 'pidfd_open', pidfd.sysPidfdOpen),
  supported(unistd.NR_PIDFD_SEND_SIGNAL, 'pidfd_send_signal', pidfd.sysPidfdSendSignal),
  supported(unistd.NR_PROCESS_MRELEASE, 'process_mrelease', pidfd.sysProcessMrelease),
  supported(unistd.NR_PIDFD_GETFD, 'pidfd_getfd', pidfd.sysPidfdGetfd),
  partial(
    unistd.NR_PTRACE,
    'ptrace',
    ptrace.sysPtrace,
    'no requests about seccomp, user dispatch and rseq; exec waits for no tracer of its threads',
  ),
  supported(unistd.NR_GETPID, 'getpid', process.sysGetpid),
  supported(unistd.NR_GETTID, 'gettid', process.sysGettid),
  supported(unistd.NR_GETPPID, 'getppid', process.sysGetppid),
  supported(unistd.NR_SET_TID_ADDRESS, 'set_tid_address', process.sysSetTidAddress),
  supported(unistd.NR_GETPGID, 'getpgid', process.sysGetpgid),
  supported(unistd.NR_SETPGID, 'setpgid', process.sysSetpgid),
  supported(unistd.NR_GETSID, 'getsid', process.sysGetsid),
  supported(unistd.NR_SETSID, 'setsid', process.sysSetsid),
  supported(unistd.NR_SET_ROBUST_LIST, 'set_robust_list', process.sysSetRobustList),
  supported(unistd.NR_GET_ROBUST_LIST, 'get_robust_list', process.sysGetRobustList),
  supported(unistd.NR_RT_SIGACTION, 'rt_sigaction', signal.sysRtSigaction),
  supported(unistd.NR_RT_SIGPROCMASK, 'rt_sigprocmask', signal.sysRtSigprocmask),
  supported(unistd.NR_RT_SIGPENDING, 'rt_sigpending', signal.sysRtSigpending),
  supported(unistd.NR_RT_SIGSUSPEND, 'rt_sigsuspend', signal.sysRtSigsuspend),
  supported(unistd.NR_RT_SIGRETURN, 'rt_sigreturn', signal.sysRtSigreturn),
  supported(unistd.NR_RT_SIGTIMEDWAIT, 'rt_sigtimedwait', signal.sysRtSigtimedwait),
  supported(unistd.NR_RT_SIGQUEUEINFO, 'rt_sigqueueinfo', signal.sysRtSigqueueinfo),
  supported(unistd.NR_RT_TGSIGQUEUEINFO, 'rt_tgsigqueueinfo', signal.sysRtTgsigqueueinfo),
  supported(unistd.NR_KILL, 'kill', signal.sysKill),
  supported(unistd.NR_TKILL, 'tkill', signal.sysTkill),
  supported(unistd.NR_TGKILL, 'tgkill', signal.sysTgkill),
  supported(unistd.NR_SIGALTSTACK, 'sigaltstack', signal.sysSigaltstack),
  supported(unistd.NR_UNAME, 'uname', sys.sysUname),
  supported(unistd.NR_SETHOSTNAME, 'sethostname', sys.sysSethostname),
  supported(unistd.NR_SETDOMAINNAME, 'setdomainname', sys.sysSetdomainname),
  supported(unistd.NR_SWAPON, 'swapon', swap.sysSwapon),
  supported(unistd.NR_SWAPOFF, 'swapoff', swap.sysSwapoff),
  supported(unistd.NR_SYSINFO, 'sysinfo', sys.sysSysinfo),
  supported(unistd.NR_GETRANDOM, 'getrandom', sys.sysGetrandom),
  supported(unistd.NR_PRLIMIT64, 'prlimit64', sys.sysPrlimit64),
  supported(unistd.NR_GETRLIMIT, 'getrlimit', sys.sysGetrlimit),
  supported(unistd.NR_SETRLIMIT, 'setrlimit', sys.sysSetrlimit),
  partial(unistd.NR_GETRUSAGE, 'getrusage', sys.sysGetrusage, 'all time is user time'),
  partial(
    unistd.NR_PRCTL,
    'prctl',
    sys.sysPrctl,
    'common options; COW page tables under 0x43504554, and under 65 without bits',
  ),
  supported(unistd.NR_SCHED_YIELD, 'sched_yield', sys.sysSchedYield),
  supported(unistd.NR_SCHED_GETAFFINITY, 'sched_getaffinity', sys.sysSchedGetaffinity),
  partial(
    unistd.NR_SCHED_SETAFFINITY,
    'sched_setaffinity',
    sys.sysSchedSetaffinity,
    'one processor',
  ),
  supported(unistd.NR_SCHED_GETSCHEDULER, 'sched_getscheduler', sys.sysSchedGetscheduler),
  partial(
    unistd.NR_SCHED_SETSCHEDULER,
    'sched_setscheduler',
    sys.sysSchedSetscheduler,
    'no real-time policies',
  ),
  supported(unistd.NR_SCHED_GETPARAM, 'sched_getparam', sys.sysSchedGetparam),
  supported(unistd.NR_SCHED_SETPARAM, 'sched_setparam', sys.sysSchedSetparam),
  supported(unistd.NR_SCHED_GET_PRIORITY_MAX, 'sched_get_priority_max', sys.sysSchedGetPriorityMax),
  supported(unistd.NR_SCHED_GET_PRIORITY_MIN, 'sched_get_priority_min', sys.sysSchedGetPriorityMin),
  supported(unistd.NR_GETPRIORITY, 'getpriority', sys.sysGetpriority),
  partial(unistd.NR_SETPRIORITY, 'setpriority', sys.sysSetpriority, 'kept, without effect'),
  supported(unistd.NR_GETCPU, 'getcpu', sys.sysGetcpu),
  partial(unistd.NR_PERSONALITY, 'personality', sys.sysPersonality, 'kept, without effect'),
  supported(unistd.NR_RISCV_HWPROBE, 'riscv_hwprobe', sys.sysRiscvHwprobe),
  supported(unistd.NR_MEMBARRIER, 'membarrier', sys.sysMembarrier),
  supported(unistd.NR_SYSLOG, 'syslog', sys.sysSyslog),
  partial(unistd.NR_REBOOT, 'reboot', sys.sysReboot, 'always EPERM'),
  supported(unistd.NR_CLOCK_GETTIME, 'clock_gettime', time.sysClockGettime),
  supported(unistd.NR_GETTIMEOFDAY, 'gettimeofday', time.sysGettimeofday),
  supported(unistd.NR_CLOCK_GETRES, 'clock_getres', time.sysClockGetres),
  supported(unistd.NR_CLOCK_SETTIME, 'clock_settime', time.sysClockSettime),
  supported(unistd.NR_NANOSLEEP, 'nanosleep', time.sysNanosleep),
  partial(
    unistd.NR_CLOCK_NANOSLEEP,
    'clock_nanosleep',
    time.sysClockNanosleep,
    'no CPU-time clocks',
  ),
  supported(unistd.NR_GETITIMER, 'getitimer', time.sysGetitimer),
  partial(
    unistd.NR_SETITIMER,
    'setitimer',
    time.sysSetitimer,
    'ITIMER_VIRTUAL and ITIMER_PROF count real time',
  ),
  partial(
    unistd.NR_TIMER_CREATE,
    'timer_create',
    time.sysTimerCreate,
    'CPU-time clocks count real time',
  ),
  supported(unistd.NR_TIMER_SETTIME, 'timer_settime', time.sysTimerSettime),
  supported(unistd.NR_TIMER_GETTIME, 'timer_gettime', time.sysTimerGettime),
  supported(unistd.NR_TIMER_GETOVERRUN, 'timer_getoverrun', time.sysTimerGetoverrun),
  supported(unistd.NR_TIMER_DELETE, 'timer_delete', time.sysTimerDelete),
  partial(unistd.NR_TIMES, 'times', time.sysTimes, 'all time is user time'),
];

/** All numbers of uapi/unistd.ts in order; those without a row answer ENOSYS. */
function completeTable(): readonly SyscallRow[] {
  const rows: SyscallRow[] = [];
  for (const [key, nr] of Object.entries(unistd)) {
    if (key === 'NR_SYSCALLS') continue;
    const name = key.slice('NR_'.length).toLowerCase();
    rows[nr] = { nr, name, status: 'absent', note: '', handler: undefined };
  }
  for (const row of ROWS) rows[row.nr] = row;
  return rows.filter((row) => row !== undefined);
}

/** One row a system call, by number. */
export const SYSCALLS: readonly SyscallRow[] = completeTable();

/** Handlers by number; undefined is ENOSYS. */
export function syscallHandlers(): (SyscallHandler | undefined)[] {
  const handlers = new Array<SyscallHandler | undefined>(unistd.NR_SYSCALLS).fill(undefined);
  for (const { nr, handler } of SYSCALLS) handlers[nr] = handler;
  return handlers;
}
