/** userfaultfd(2). @linux include/uapi/linux/userfaultfd.h */

import { O_CLOEXEC, O_NONBLOCK } from './fcntl.ts';

export const UFFD_API = 0xaa;
/** Faults of the kernel on the program's behalf are errors, not events. */
export const UFFD_USER_MODE_ONLY = 1;
export const UFFD_CLOEXEC = O_CLOEXEC;
export const UFFD_NONBLOCK = O_NONBLOCK;

// Numbers of the ioctls, as bits of `ioctls`.
const NR_REGISTER = 0x00;
const NR_UNREGISTER = 0x01;
const NR_WAKE = 0x02;
const NR_COPY = 0x03;
const NR_ZEROPAGE = 0x04;
const NR_API = 0x3f;

export const UFFDIO_API = 0xc018_aa3f;
export const UFFDIO_REGISTER = 0xc020_aa00;
export const UFFDIO_UNREGISTER = 0x8010_aa01;
export const UFFDIO_WAKE = 0x8010_aa02;
export const UFFDIO_COPY = 0xc028_aa03;
export const UFFDIO_ZEROPAGE = 0xc020_aa04;

/** The two words of `uffdio_api.ioctls`. */
export const UFFD_API_IOCTLS_LO = (1 << NR_REGISTER) | (1 << NR_UNREGISTER);
export const UFFD_API_IOCTLS_HI = 1 << (NR_API - 32);
export const UFFD_API_RANGE_IOCTLS = (1 << NR_WAKE) | (1 << NR_COPY) | (1 << NR_ZEROPAGE);

// struct uffdio_api: api u64 @0, features u64 @8, ioctls u64 @16.
export const UFFDIO_API_BYTES = 24;
// struct uffdio_register: start u64 @0, len u64 @8, mode u64 @16, ioctls u64 @24.
export const UFFDIO_REGISTER_IOCTLS = 24;
// struct uffdio_copy: dst u64 @0, src u64 @8, len u64 @16, mode u64 @24, copy s64 @32.
export const UFFDIO_COPY_COPY = 32;
// struct uffdio_zeropage: start u64 @0, len u64 @8, mode u64 @16, zeropage s64 @24.
export const UFFDIO_ZEROPAGE_ZEROPAGE = 24;

export const UFFDIO_REGISTER_MODE_MISSING = 1;
/** Of UFFDIO_COPY and UFFDIO_ZEROPAGE: who waits for the page goes on waiting. */
export const UFFDIO_MODE_DONTWAKE = 1;

export const UFFD_FEATURE_EVENT_FORK = 1 << 1;
export const UFFD_FEATURE_EVENT_REMAP = 1 << 2;
export const UFFD_FEATURE_MISSING_HUGETLBFS = 1 << 4;
export const UFFD_FEATURE_MISSING_SHMEM = 1 << 5;
export const UFFD_FEATURE_SIGBUS = 1 << 7;
export const UFFD_FEATURE_THREAD_ID = 1 << 8;

/** struct uffd_msg: event u8 @0, then what belongs to the event. */
export const UFFD_MSG_BYTES = 32;
// arg.pagefault: u64, u64, u32.
export const UFFD_MSG_FLAGS = 8;
export const UFFD_MSG_ADDRESS = 16;
export const UFFD_MSG_PTID = 24;
// arg.fork: u32.
export const UFFD_MSG_FORK_UFD = 8;
// arg.remap: u64 each.
export const UFFD_MSG_REMAP_FROM = 8;
export const UFFD_MSG_REMAP_TO = 16;
export const UFFD_MSG_REMAP_LEN = 24;
export const UFFD_EVENT_PAGEFAULT = 0x12;
export const UFFD_EVENT_FORK = 0x13;
export const UFFD_EVENT_REMAP = 0x14;
export const UFFD_PAGEFAULT_FLAG_WRITE = 1;
