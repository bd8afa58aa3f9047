/** pidfd_open(2) and kin. @linux include/uapi/linux/pidfd.h, include/uapi/linux/fcntl.h */

import { O_EXCL, O_NONBLOCK, O_TRUNC } from './fcntl.ts';

// Flags of pidfd_open().
export const PIDFD_NONBLOCK = O_NONBLOCK;
/** The descriptor means the thread alone, not its process. */
export const PIDFD_THREAD = O_EXCL;

/** Only the descriptor that CLONE_PIDFD_AUTOKILL gives: its process is killed when it is closed. */
export const PIDFD_AUTOKILL = O_TRUNC;

// Instead of a descriptor: the calling thread, and its process.
export const PIDFD_SELF_THREAD = -10_000;
export const PIDFD_SELF_THREAD_GROUP = -10_001;

// Flags of pidfd_send_signal(): whom the signal goes to; one of them at most.
export const PIDFD_SIGNAL_THREAD = 1;
export const PIDFD_SIGNAL_THREAD_GROUP = 2;
export const PIDFD_SIGNAL_PROCESS_GROUP = 4;

/** ioctl _IOWR(0xff, 11, struct pidfd_info), its size bits left out. */
export const PIDFD_GET_INFO_NOSIZE = 0xc000_ff0b;
/** The bits of an ioctl number that say how large its structure is. @linux include/uapi/asm-generic/ioctl.h:_IOC_SIZEMASK */
export const IOC_SIZE_SHIFT = 16;
export const IOC_SIZE_MASK = 0x3fff;

export const PIDFD_INFO_PID = 1;
export const PIDFD_INFO_CREDS = 2;
export const PIDFD_INFO_EXIT = 8;
export const PIDFD_INFO_SUPPORTED_MASK = 32;

/** Sizes of struct pidfd_info: first version, and all that is known here. */
export const PIDFD_INFO_SIZE_VER0 = 64;
export const PIDFD_INFO_SIZE_VER3 = 88;

// Positions of fields in struct pidfd_info, in bytes.
export const PIDFD_INFO_MASK_AT = 0;
/** pid, tgid, ppid, then real, effective, saved and file system user and group ids: u32 each. */
export const PIDFD_INFO_PID_AT = 16;
export const PIDFD_INFO_EXIT_CODE_AT = 60;
export const PIDFD_INFO_SUPPORTED_AT = 80;
