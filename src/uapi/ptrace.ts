/** ptrace(2). @linux include/uapi/linux/ptrace.h, include/uapi/linux/elf.h */

export const PTRACE_TRACEME = 0;
export const PTRACE_PEEKTEXT = 1;
export const PTRACE_PEEKDATA = 2;
export const PTRACE_POKETEXT = 4;
export const PTRACE_POKEDATA = 5;
export const PTRACE_CONT = 7;
export const PTRACE_KILL = 8;
export const PTRACE_SINGLESTEP = 9;
export const PTRACE_ATTACH = 16;
export const PTRACE_DETACH = 17;
export const PTRACE_OLDSETOPTIONS = 21;
export const PTRACE_SYSCALL = 24;
export const PTRACE_SETOPTIONS = 0x4200;
export const PTRACE_GETEVENTMSG = 0x4201;
export const PTRACE_GETSIGINFO = 0x4202;
export const PTRACE_SETSIGINFO = 0x4203;
export const PTRACE_GETREGSET = 0x4204;
export const PTRACE_SETREGSET = 0x4205;
export const PTRACE_SEIZE = 0x4206;
export const PTRACE_INTERRUPT = 0x4207;
export const PTRACE_LISTEN = 0x4208;
export const PTRACE_PEEKSIGINFO = 0x4209;
export const PTRACE_GETSIGMASK = 0x420a;
export const PTRACE_SETSIGMASK = 0x420b;
export const PTRACE_GET_SYSCALL_INFO = 0x420e;
export const PTRACE_SET_SYSCALL_INFO = 0x4212;

/** struct ptrace_peeksiginfo_args: off (8), flags, nr. */
export const PEEKSIGINFO_ARGS_BYTES = 16;
export const PEEKSIGINFO_ARGS_FLAGS = 8;
export const PEEKSIGINFO_ARGS_NR = 12;
export const PTRACE_PEEKSIGINFO_SHARED = 1;

// Messages of the two stops at a system call.
export const PTRACE_EVENTMSG_SYSCALL_ENTRY = 1;
export const PTRACE_EVENTMSG_SYSCALL_EXIT = 2;

// The status that wait() shows of a stop is (event << 8 | signal) << 8 | 0x7f.
export const PTRACE_EVENT_FORK = 1;
export const PTRACE_EVENT_VFORK = 2;
export const PTRACE_EVENT_CLONE = 3;
export const PTRACE_EVENT_EXEC = 4;
export const PTRACE_EVENT_VFORK_DONE = 5;
export const PTRACE_EVENT_EXIT = 6;
export const PTRACE_EVENT_STOP = 128;
export const PTRACE_EVENT_SHIFT = 8;
/** Added to the SIGTRAP of a stop at a system call under PTRACE_O_TRACESYSGOOD. */
export const SYSGOOD_BIT = 0x80;

// Options; that of an event is 1 << PTRACE_EVENT_*.
export const PTRACE_O_TRACESYSGOOD = 1;
export const PTRACE_O_EXITKILL = 1 << 20;
export const PTRACE_O_SUSPEND_SECCOMP = 1 << 21;
export const PTRACE_O_MASK = 0xff | PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP;

/*
 * struct ptrace_syscall_info:
 *
 *     0 op   1 reserved   2 flags (2)   4 arch   8 instruction_pointer   16 stack_pointer
 *     24 entry: nr, args[6]             24 exit: rval, is_error (1)      to 88 bytes
 */
export const PTRACE_SYSCALL_INFO_NONE = 0;
export const PTRACE_SYSCALL_INFO_ENTRY = 1;
export const PTRACE_SYSCALL_INFO_EXIT = 2;
export const SYSCALL_INFO_OP = 0;
export const SYSCALL_INFO_RESERVED = 1;
export const SYSCALL_INFO_FLAGS = 2;
export const SYSCALL_INFO_ARCH = 4;
export const SYSCALL_INFO_IP = 8;
export const SYSCALL_INFO_SP = 16;
export const SYSCALL_INFO_NR = 24;
export const SYSCALL_INFO_ARGS = 32;
export const SYSCALL_INFO_RVAL = 24;
export const SYSCALL_INFO_IS_ERROR = 32;
export const SYSCALL_INFO_BYTES = 88;
/** Bytes that each kind of stop fills in. */
export const SYSCALL_INFO_NONE_BYTES = 24;
export const SYSCALL_INFO_ENTRY_BYTES = 80;
export const SYSCALL_INFO_EXIT_BYTES = 33;
/** EM_RISCV, 64 bits, little-endian. @linux include/uapi/linux/audit.h */
export const AUDIT_ARCH_RISCV64 = 0xc000_00f3;

// Register sets. NT_PRSTATUS is pc, x1..x31; NT_PRFPREG f0..f31, fcsr (4), 4 unused.
export const NT_PRSTATUS = 1;
export const NT_PRFPREG = 2;
export const REGSET_WORD = 8;
export const GREGSET_BYTES = 256;
export const FPREGSET_BYTES = 264;
/** struct iovec. */
export const IOVEC_BYTES = 16;
