/**
 * /sys/kernel/debug/gup_test: takes references and pins of the caller's pages, for tests and
 * measurements.
 *
 * @linux mm/gup_test.c
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import type { Pfn } from '../../arch/riscv/pgtable.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { NSEC_PER_USEC } from '../../kernel/time.ts';
import { getU64, setU64 } from '../../lib/bits.ts';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  getUserPages,
  getUserPagesFast,
  pinUserPages,
  pinUserPagesFast,
  unpinUserPages,
} from '../../mm/gup.ts';
import type { MmStruct } from '../../mm/mm_types.ts';
import { putPage } from '../../mm/page_alloc.ts';
import { copyFromUser, copyToUser, getUser64 } from '../../mm/uaccess.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../uapi/errno.ts';
import * as abi from '../../uapi/gup_test.ts';
import type { File, FileOps } from '../fs_types.ts';

/** Frames kept, in pieces as they were got. */
type Pages = Int32Array[];

/** Frames asked for at a time. */
const GUP_CHUNK = 512;
/** An array of frames that Linux would keep: a pointer each. */
const PAGE_POINTER = 8;

/** The file's state, one a machine: any open file of it may start and stop the long-term test. */
export class GupTest {
  readonly kernel: Kernel;
  /** Pages of the long-term test; null while none is under way. */
  longterm: Pages | null = null;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }
}

type GupFunction = typeof getUserPages;

/** Gets up to `nr` pages. @returns how many, or -errno for the first. */
function gupMany(
  gup: GupFunction,
  mm: MmStruct,
  addr: number,
  nr: number,
  request: { readonly flags: number; readonly pages: Pages },
): number {
  let done = 0;
  while (done < nr) {
    const chunk = new Int32Array(Math.min(GUP_CHUNK, nr - done));
    const got = gup(mm, addr + done * PAGE_SIZE, request.flags, chunk);
    if (got <= 0) return done > 0 ? done : got;
    request.pages.push(chunk.subarray(0, got));
    done += got;
    if (got < chunk.length) break;
  }
  return done;
}

function unpinAll(kernel: Kernel, pages: Pages): void {
  for (const chunk of pages) unpinUserPages(kernel.pgdat, chunk);
}

function putAll(kernel: Kernel, pages: Pages): void {
  for (const chunk of pages) {
    for (let i = 0; i < chunk.length; i++) putPage(kernel.pgdat, chunk[i] as Pfn);
  }
}

/** What a command gets pages with, and whether they are pins. */
interface GupCommand {
  readonly gup: GupFunction;
  readonly pin: boolean;
  readonly flags: number;
}

function gupCommand(cmd: number, testFlags: number): GupCommand {
  switch (cmd) {
    case abi.GUP_FAST_BENCHMARK:
      return { gup: getUserPagesFast, pin: false, flags: 0 };
    case abi.PIN_FAST_BENCHMARK:
      return { gup: pinUserPagesFast, pin: true, flags: 0 };
    case abi.PIN_LONGTERM_BENCHMARK:
      return { gup: pinUserPages, pin: true, flags: FOLL_LONGTERM };
    case abi.PIN_BASIC_TEST:
      return { gup: pinUserPages, pin: true, flags: 0 };
    default: {
      const dump = cmd === abi.DUMP_USER_PAGES_TEST;
      const pin = dump && (testFlags & abi.GUP_TEST_FLAG_DUMP_PAGES_USE_PIN) !== 0;
      return { gup: pin ? pinUserPages : getUserPages, pin, flags: 0 };
    }
  }
}

/** Logs the pages whose 1-based numbers `which` holds; those out of range become 0. */
function dumpPages(kernel: Kernel, pages: Pages, which: Uint32Array): void {
  const { page } = kernel.pgdat;
  const all = pages.flatMap((chunk) => [...chunk]);
  for (let i = 0; i < which.length; i++) {
    if (which[i]! > all.length) which[i] = 0;
    if (which[i] === 0) continue;
    const pfn = all[which[i]! - 1]!;
    const counts = `refcount:${page.refcount[pfn]} mapcount:${page.mapcount[pfn]}`;
    const text = `page: ${counts} index:${page.index[pfn]} pfn:${pfn} flags:${page.flags[pfn]}`;
    kernel.log.printk(kernel.clock.now(), text);
  }
}

/** Gets the pages of [start, end), `perCall` at a time. @returns where it ended. */
function gupRange(
  mm: MmStruct,
  range: { readonly start: number; readonly end: number; readonly perCall: number },
  gup: GupFunction,
  request: { readonly flags: number; readonly pages: Pages },
): number {
  const { end, perCall } = range;
  let addr = range.start;
  for (let got = perCall; addr < end && got === perCall; ) {
    const nr = Math.min(perCall, Math.floor((end - addr) / PAGE_SIZE));
    got = gupMany(gup, mm, addr, nr, request);
    if (got <= 0) break;
    addr = Math.min(addr + nr * PAGE_SIZE, end);
  }
  return addr;
}

/** The numbers of the pages to log, in struct gup_test. */
function whichPages({ buffer }: DataView): Uint32Array {
  return new Uint32Array(buffer, abi.GUP_TEST_WHICH_PAGES, abi.GUP_TEST_MAX_PAGES_TO_DUMP);
}

/** Gets the pages of struct gup_test, call by call, and fills in how far and how long. */
function runGupTest(kernel: Kernel, mm: MmStruct, cmd: number, view: DataView): number {
  const start = getU64(view, abi.GUP_TEST_ADDR);
  const size = getU64(view, abi.GUP_TEST_SIZE);
  const end = start + size;
  if (end >= 2 ** 64) return -EINVAL;
  const total = Math.floor(size / PAGE_SIZE);
  if (total * PAGE_POINTER > kernel.pgdat.managedFrames * PAGE_SIZE) return -ENOMEM;
  const perCall = view.getUint32(abi.GUP_TEST_NR_PAGES_PER_CALL, true);
  const { gup, pin, flags } = gupCommand(cmd, view.getUint32(abi.GUP_TEST_TEST_FLAGS, true));
  const pages: Pages = [];
  const request = { flags: flags | view.getInt32(abi.GUP_TEST_GUP_FLAGS, true), pages };
  const getStart = kernel.clock.now();
  const stop = gupRange(mm, { start, end, perCall }, gup, request);
  const getTime = kernel.clock.now() - getStart;
  if (cmd === abi.DUMP_USER_PAGES_TEST) dumpPages(kernel, pages, whichPages(view));
  const putStart = kernel.clock.now();
  if (pin) unpinAll(kernel, pages);
  else putAll(kernel, pages);
  const putTime = kernel.clock.now() - putStart;
  setU64(view, abi.GUP_TEST_SIZE, stop - start);
  setU64(view, abi.GUP_TEST_GET_DELTA, Math.floor(getTime / NSEC_PER_USEC));
  setU64(view, abi.GUP_TEST_PUT_DELTA, Math.floor(putTime / NSEC_PER_USEC));
  return 0;
}

function gupTest(kernel: Kernel, mm: MmStruct, cmd: number, arg: number): number {
  const bytes = new Uint8Array(abi.GUP_TEST_BYTES);
  if (copyFromUser(mm, bytes, arg) !== 0) return -EFAULT;
  const err = runGupTest(kernel, mm, cmd, new DataView(bytes.buffer));
  if (err !== 0) return err;
  return copyToUser(mm, arg, bytes);
}

function longtermStop(state: GupTest): number {
  if (state.longterm !== null) unpinAll(state.kernel, state.longterm);
  state.longterm = null;
  return 0;
}

const LONGTERM_FLAGS = abi.PIN_LONGTERM_TEST_FLAG_USE_WRITE | abi.PIN_LONGTERM_TEST_FLAG_USE_FAST;

/** @linux mm/gup_test.c:pin_longterm_test_start */
function longtermStart(state: GupTest, mm: MmStruct, arg: number): number {
  if (state.longterm !== null) return -EINVAL;
  const bytes = new Uint8Array(abi.PIN_LONGTERM_TEST_BYTES);
  if (copyFromUser(mm, bytes, arg) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const addr = getU64(view, abi.PIN_LONGTERM_ADDR);
  const size = getU64(view, abi.PIN_LONGTERM_SIZE);
  const flags = view.getUint32(abi.PIN_LONGTERM_FLAGS, true);
  if ((flags & ~LONGTERM_FLAGS) !== 0) return -EINVAL;
  if (addr % PAGE_SIZE !== 0 || size % PAGE_SIZE !== 0) return -EINVAL;
  if (size >= 2 ** 63 || size === 0) return -EINVAL;
  const nr = size / PAGE_SIZE;
  if (nr * PAGE_POINTER > state.kernel.pgdat.managedFrames * PAGE_SIZE) return -ENOMEM;
  const write = (flags & abi.PIN_LONGTERM_TEST_FLAG_USE_WRITE) !== 0 ? FOLL_WRITE : 0;
  const fast = (flags & abi.PIN_LONGTERM_TEST_FLAG_USE_FAST) !== 0;
  const pages: Pages = [];
  const request = { flags: FOLL_LONGTERM | write, pages };
  state.longterm = pages;
  for (let done = 0; done < nr; ) {
    const gup = fast ? pinUserPagesFast : pinUserPages;
    const got = gupMany(gup, mm, addr + done * PAGE_SIZE, nr - done, request);
    if (got < 0) {
      longtermStop(state);
      return got;
    }
    done += got;
  }
  return 0;
}

/** Copies the pinned pages, as they are now, to the address that `arg` points at. @linux mm/gup_test.c:pin_longterm_test_read */
function longtermRead(state: GupTest, mm: MmStruct, arg: number): number {
  if (state.longterm === null) return -EINVAL;
  const addr = getUser64(mm, arg);
  if (addr < 0) return -EFAULT;
  const { u8 } = mm.pgdat.ram;
  let at = addr;
  for (const chunk of state.longterm) {
    for (let i = 0; i < chunk.length; i++, at += PAGE_SIZE) {
      const from = chunk[i]! * PAGE_SIZE;
      if (copyToUser(mm, at, u8.subarray(from, from + PAGE_SIZE)) !== 0) return -EFAULT;
    }
  }
  return 0;
}

function gupTestIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  const state = file.inode.data as GupTest;
  switch (cmd) {
    case abi.GUP_FAST_BENCHMARK:
    case abi.PIN_FAST_BENCHMARK:
    case abi.PIN_LONGTERM_BENCHMARK:
    case abi.GUP_BASIC_TEST:
    case abi.PIN_BASIC_TEST:
    case abi.DUMP_USER_PAGES_TEST:
      return gupTest(state.kernel, mm, cmd, arg);
    case abi.PIN_LONGTERM_TEST_START:
      return longtermStart(state, mm, arg);
    case abi.PIN_LONGTERM_TEST_STOP:
      return longtermStop(state);
    case abi.PIN_LONGTERM_TEST_READ:
      return longtermRead(state, mm, arg);
    default:
      return -EINVAL;
  }
}

/** inode.data is the GupTest. Closing any open file of it ends the long-term test. */
export const GUP_TEST_OPS: FileOps = {
  ioctl: gupTestIoctl,
  release: (file) => {
    longtermStop(file.inode.data as GupTest);
  },
};
