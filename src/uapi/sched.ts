/** clone(2) and scheduling. @linux include/uapi/linux/sched.h */

/** Low byte of clone(2) flags: the signal sent to the parent at exit. */
export const CSIGNAL = 0xff;
export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_PIDFD = 0x1000;
export const CLONE_PTRACE = 0x2000;
export const CLONE_VFORK = 0x4000;
export const CLONE_PARENT = 0x8000;
export const CLONE_THREAD = 0x1_0000;
export const CLONE_NEWNS = 0x2_0000;
export const CLONE_SYSVSEM = 0x4_0000;
export const CLONE_SETTLS = 0x8_0000;
export const CLONE_PARENT_SETTID = 0x10_0000;
export const CLONE_CHILD_CLEARTID = 0x20_0000;
export const CLONE_DETACHED = 0x40_0000;
export const CLONE_UNTRACED = 0x80_0000;
export const CLONE_CHILD_SETTID = 0x100_0000;
export const CLONE_NEWCGROUP = 0x200_0000;
export const CLONE_NEWUTS = 0x400_0000;
export const CLONE_NEWIPC = 0x800_0000;
export const CLONE_NEWUSER = 0x1000_0000;
export const CLONE_NEWPID = 0x2000_0000;
export const CLONE_NEWNET = 0x4000_0000;
export const CLONE_IO = 0x8000_0000;

// clone3(2) only: the bits above 31, as the high word of its flags.
export const CLONE_CLEAR_SIGHAND_HI = 0x1;
export const CLONE_INTO_CGROUP_HI = 0x2;
export const CLONE_AUTOREAP_HI = 0x4;
export const CLONE_NNP_HI = 0x8;
export const CLONE_PIDFD_AUTOKILL_HI = 0x10;

/** struct clone_args: its first version and the whole as of Linux 5.7. */
export const CLONE_ARGS_SIZE_VER0 = 64;
export const CLONE_ARGS_SIZE_VER2 = 88;

export const SCHED_NORMAL = 0;
export const SCHED_FIFO = 1;
export const SCHED_RR = 2;
export const SCHED_BATCH = 3;
export const SCHED_IDLE = 5;
/** Flag in the policy: children start with the default policy. */
export const SCHED_RESET_ON_FORK = 0x4000_0000;

// Positions of fields in struct clone_args, in bytes.
export const CLONE_ARGS_FLAGS = 0;
export const CLONE_ARGS_PIDFD = 8;
export const CLONE_ARGS_CHILD_TID = 16;
export const CLONE_ARGS_PARENT_TID = 24;
export const CLONE_ARGS_EXIT_SIGNAL = 32;
export const CLONE_ARGS_STACK = 40;
export const CLONE_ARGS_STACK_SIZE = 48;
export const CLONE_ARGS_TLS = 56;
export const CLONE_ARGS_SET_TID = 64;
