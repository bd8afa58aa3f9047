/**
 * The file behind a userfaultfd: messages are read from it, ioctls register memory and fill it.
 *
 * @linux mm/userfaultfd.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TASK_SIZE } from '../arch/riscv/pgtable.ts';
import { getU64, setU64, TWO32 } from '../lib/bits.ts';
import { copyToIter, type IovIter } from '../mm/iov_iter.ts';
import { UserfaultfdCtx, type MmStruct, type UffdEvent, type Userfault } from '../mm/mm_types.ts';
import { copyFromUser, copyToUser, putUser64 } from '../mm/uaccess.ts';
import {
  findUffdEvent,
  findUserfault,
  uffdEventComplete,
  userfaultfdRelease,
  wakeUserfault,
} from '../mm/userfaultfd.ts';
import { mfillAtomic, type MfillSource } from '../mm/userfaultfd_fill.ts';
import { userfaultfdRegister, userfaultfdUnregister } from '../mm/userfaultfd_register.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM, ESRCH } from '../uapi/errno.ts';
import { O_NONBLOCK, O_RDONLY } from '../uapi/fcntl.ts';
import { POLLERR, POLLIN } from '../uapi/poll.ts';
import * as uapi from '../uapi/userfaultfd.ts';
import type { File, FileOps, FsContext, PollTable, Vfs } from './fs_types.ts';
import { nullLlseek } from './llseek.ts';
import { anonFile } from './pipe.ts';

const ANON_MODE = 0o600;
/** Descriptors a process can have at most, whatever its limit. @linux fs/file.c:sysctl_nr_open_max */
const NR_OPEN = 1024 * 1024;

const FEATURES =
  uapi.UFFD_FEATURE_EVENT_FORK |
  uapi.UFFD_FEATURE_EVENT_REMAP |
  uapi.UFFD_FEATURE_MISSING_HUGETLBFS |
  uapi.UFFD_FEATURE_MISSING_SHMEM |
  uapi.UFFD_FEATURE_SIGBUS |
  uapi.UFFD_FEATURE_THREAD_ID;

/** A message under construction. */
function message(event: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(uapi.UFFD_MSG_BYTES);
  bytes[0] = event;
  return { bytes, view: new DataView(bytes.buffer) };
}

function faultMessage(fault: Userfault): Uint8Array {
  const { bytes, view } = message(uapi.UFFD_EVENT_PAGEFAULT);
  setU64(view, uapi.UFFD_MSG_FLAGS, fault.flags);
  setU64(view, uapi.UFFD_MSG_ADDRESS, fault.address);
  view.setUint32(uapi.UFFD_MSG_PTID, fault.ptid, true);
  return bytes;
}

/** The child's userfaultfd becomes a descriptor of whoever reads. @returns the message or -errno. */
function forkMessage(file: File, child: UserfaultfdCtx, ctx: FsContext): Uint8Array | number {
  const { bytes, view } = message(uapi.UFFD_EVENT_FORK);
  if (ctx.files === null) return -EINVAL;
  const made = uffdFile(file.inode.sb.vfs, child, file.flags & O_NONBLOCK);
  const fd = ctx.files.alloc(made, 0, false, NR_OPEN);
  if (fd < 0) {
    made.putFile();
    return fd;
  }
  view.setUint32(uapi.UFFD_MSG_FORK_UFD, fd, true);
  return bytes;
}

function eventMessage(file: File, event: UffdEvent, ctx: FsContext): Uint8Array | number {
  if (event.child !== null) return forkMessage(file, event.child, ctx);
  const { bytes, view } = message(uapi.UFFD_EVENT_REMAP);
  setU64(view, uapi.UFFD_MSG_REMAP_FROM, event.from);
  setU64(view, uapi.UFFD_MSG_REMAP_TO, event.to);
  setU64(view, uapi.UFFD_MSG_REMAP_LEN, event.len);
  return bytes;
}

/** The next message, which counts as told. @returns it, or -EAGAIN. @linux mm/userfaultfd.c:userfaultfd_ctx_read */
function nextMessage(file: File, ctx: FsContext): Uint8Array | number {
  const uffd = file.data as UserfaultfdCtx;
  const fault = findUserfault(uffd);
  if (fault !== undefined) {
    fault.read = true;
    return faultMessage(fault);
  }
  const event = findUffdEvent(uffd);
  if (event === undefined) return -EAGAIN;
  const bytes = eventMessage(file, event, ctx);
  if (typeof bytes !== 'number') uffdEventComplete(uffd, event);
  return bytes;
}

function uffdRead(file: File, to: IovIter, _pos: number, ctx?: FsContext): number {
  if (!(file.data as UserfaultfdCtx).initialized || ctx === undefined) return -EINVAL;
  let done = 0;
  for (;;) {
    if (to.remaining < uapi.UFFD_MSG_BYTES) return done > 0 ? done : -EINVAL;
    const bytes = nextMessage(file, ctx);
    if (typeof bytes === 'number') return done > 0 ? done : bytes;
    if (copyToIter(to, bytes, 0, bytes.length) < bytes.length) return done > 0 ? done : -EFAULT;
    done += bytes.length;
  }
}

function uffdPoll(file: File, pt: PollTable | null): number {
  const uffd = file.data as UserfaultfdCtx;
  pt?.add(uffd.wait);
  // What is there may be gone when a read comes: only a read that does not block is safe.
  if (!uffd.initialized || (file.flags & O_NONBLOCK) === 0) return POLLERR;
  const some = findUserfault(uffd) !== undefined || findUffdEvent(uffd) !== undefined;
  return some ? POLLIN : 0;
}

/** The 64-bit words of a structure. @returns them as numbers, which are exact below 2^53, or null. */
function getWords(mm: MmStruct, addr: number, count: number): number[] | null {
  const bytes = new Uint8Array(count * 8);
  if (copyFromUser(mm, bytes, addr) !== 0) return null;
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, i) => getU64(view, i * 8));
}

/** @linux mm/userfaultfd.c:validate_unaligned_range */
function validRange(start: number, len: number, aligned: boolean): boolean {
  if (aligned && start % PAGE_SIZE !== 0) return false;
  return len !== 0 && len % PAGE_SIZE === 0 && start < TASK_SIZE && len <= TASK_SIZE - start;
}

/** @linux mm/userfaultfd.c:userfaultfd_api */
function uffdioApi(uffd: UserfaultfdCtx, arg: number, mm: MmStruct, ctx: FsContext): number {
  const words = getWords(mm, arg, 3);
  if (words === null) return -EFAULT;
  const [api = 0, features = 0] = words;
  const answer = new Uint32Array(uapi.UFFDIO_API_BYTES / 4);
  const unknown = features >= TWO32 || (features & ~FEATURES) !== 0;
  let err = api !== uapi.UFFD_API || unknown ? -EINVAL : 0;
  if (err === 0 && (features & uapi.UFFD_FEATURE_EVENT_FORK) !== 0 && ctx.cred.fsuid !== 0)
    err = -EPERM;
  if (err === 0) {
    answer.set([uapi.UFFD_API, 0, FEATURES, 0, uapi.UFFD_API_IOCTLS_LO, uapi.UFFD_API_IOCTLS_HI]);
    if (uffd.initialized) {
      answer.fill(0);
      err = -EINVAL;
    }
  }
  if (copyToUser(mm, arg, new Uint8Array(answer.buffer)) !== 0) return -EFAULT;
  if (err !== 0) return err;
  uffd.features = features;
  uffd.initialized = true;
  return 0;
}

function uffdioRegister(uffd: UserfaultfdCtx, arg: number, mm: MmStruct): number {
  const words = getWords(mm, arg, 3);
  if (words === null) return -EFAULT;
  const [start = 0, len = 0, mode = 0] = words;
  if (mode !== uapi.UFFDIO_REGISTER_MODE_MISSING || !validRange(start, len, true)) return -EINVAL;
  if (uffd.mm.users === 0) return -ENOMEM;
  const err = userfaultfdRegister(uffd, start, start + len);
  if (err !== 0) return err;
  return putUser64(mm, arg + uapi.UFFDIO_REGISTER_IOCTLS, uapi.UFFD_API_RANGE_IOCTLS);
}

function uffdioRange(
  arg: number,
  mm: MmStruct,
  use: (start: number, end: number) => number,
): number {
  const words = getWords(mm, arg, 2);
  if (words === null) return -EFAULT;
  const [start = 0, len = 0] = words;
  return validRange(start, len, true) ? use(start, start + len) : -EINVAL;
}

/** Fills pages in, says how many bytes, and wakes who waits for them. */
function fill(
  uffd: UserfaultfdCtx,
  mm: MmStruct,
  to: { dst: number; len: number; mode: number; answer: number },
  source: MfillSource | null,
): number {
  if ((to.mode & ~uapi.UFFDIO_MODE_DONTWAKE) !== 0) return -EINVAL;
  if (uffd.mm.users === 0) return -ESRCH;
  const done = mfillAtomic(uffd, to.dst, to.len, source);
  if (putUser64(mm, to.answer, done) !== 0) return -EFAULT;
  if (done < 0) return done;
  if ((to.mode & uapi.UFFDIO_MODE_DONTWAKE) === 0) wakeUserfault(uffd, to.dst, to.dst + done);
  return done === to.len ? 0 : -EAGAIN;
}

function uffdioCopy(uffd: UserfaultfdCtx, arg: number, mm: MmStruct): number {
  const words = getWords(mm, arg, 4);
  if (words === null) return -EFAULT;
  const [dst = 0, src = 0, len = 0, mode = 0] = words;
  if (!validRange(src, len, false) || !validRange(dst, len, true)) return -EINVAL;
  const to = { dst, len, mode, answer: arg + uapi.UFFDIO_COPY_COPY };
  return fill(uffd, mm, to, { mm, addr: src });
}

function uffdioZeropage(uffd: UserfaultfdCtx, arg: number, mm: MmStruct): number {
  const words = getWords(mm, arg, 3);
  if (words === null) return -EFAULT;
  const [dst = 0, len = 0, mode = 0] = words;
  if (!validRange(dst, len, true)) return -EINVAL;
  return fill(uffd, mm, { dst, len, mode, answer: arg + uapi.UFFDIO_ZEROPAGE_ZEROPAGE }, null);
}

function uffdIoctl(file: File, cmd: number, arg: number, mm: MmStruct, ctx: FsContext): number {
  const uffd = file.data as UserfaultfdCtx;
  if (cmd === uapi.UFFDIO_API) return uffdioApi(uffd, arg, mm, ctx);
  if (!uffd.initialized) return -EINVAL;
  switch (cmd) {
    case uapi.UFFDIO_REGISTER:
      return uffdioRegister(uffd, arg, mm);
    case uapi.UFFDIO_UNREGISTER:
      return uffdioRange(arg, mm, (start, end) =>
        uffd.mm.users === 0 ? -ENOMEM : userfaultfdUnregister(uffd, start, end),
      );
    case uapi.UFFDIO_WAKE:
      return uffdioRange(arg, mm, (start, end) => {
        wakeUserfault(uffd, start, end);
        return 0;
      });
    case uapi.UFFDIO_COPY:
      return uffdioCopy(uffd, arg, mm);
    case uapi.UFFDIO_ZEROPAGE:
      return uffdioZeropage(uffd, arg, mm);
    default:
      return -EINVAL;
  }
}

const uffdOps: FileOps = {
  read: uffdRead,
  poll: uffdPoll,
  ioctl: uffdIoctl,
  llseek: nullLlseek,
  release: (file) => userfaultfdRelease(file.data as UserfaultfdCtx),
};

function uffdFile(vfs: Vfs, uffd: UserfaultfdCtx, flags: number): File {
  const file = anonFile(vfs, 'anon_inode:[userfaultfd]', ANON_MODE, O_RDONLY | flags, uffdOps);
  file.data = uffd;
  return file;
}

/**
 * A userfaultfd for an address space, with one reference.
 * @param flags O_NONBLOCK or 0.
 */
export function createUserfaultfd(
  vfs: Vfs,
  mm: MmStruct,
  flags: number,
  userModeOnly: boolean,
): File {
  return uffdFile(vfs, new UserfaultfdCtx(mm, userModeOnly), flags);
}
