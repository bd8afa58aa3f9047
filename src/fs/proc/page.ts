/**
 * /proc/kpagecount, kpageflags and kpagecgroup: 64 bits for every frame of the machine.
 *
 * @linux fs/proc/page.c
 */

import type { Pfn } from '../../arch/riscv/pgtable.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import { MAX_ORDER, type PgData } from '../../mm/mm_types.ts';
import {
  PG_ACTIVE,
  PG_ANON,
  PG_BUDDY,
  PG_DIRTY,
  PG_LAZYFREE,
  PG_LRU,
  PG_REFERENCED,
  PG_RESERVED,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  PG_TABLE,
  PG_UNEVICTABLE,
  PG_UPTODATE,
} from '../../mm/page.ts';
import { pageUsers } from '../../mm/page_users.ts';
import { rmapWalk } from '../../mm/page_vma_mapped.ts';
import { VM_LOCKED } from '../../mm/vma.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import * as kpf from '../../uapi/kernel_page_flags.ts';
import type { Dentry, File, FileOps } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { procCreate } from './generic.ts';

const KPM_BYTES = 8;
/** Frames answered for at a time. */
const KPM_BATCH = 512;

/** Writes the words of frame `pfn` at `at`. */
type PutFrame = (pgdat: PgData, pfn: Pfn, view: DataView, at: number) => void;

/** @returns bytes, 0 behind the last frame, -EINVAL for a part of an entry, or -EFAULT. */
function kpageRead(pgdat: PgData, to: IovIter, pos: number, put: PutFrame): number {
  const { nrFrames } = pgdat.ram.layout;
  if (pos % KPM_BYTES !== 0 || to.remaining % KPM_BYTES !== 0) return -EINVAL;
  const first = pos / KPM_BYTES;
  const end = Math.min(nrFrames, first + to.remaining / KPM_BYTES);
  let done = 0;
  for (let pfn = first; pfn < end; pfn += KPM_BATCH) {
    const frames = Math.min(KPM_BATCH, end - pfn);
    const view = new DataView(new ArrayBuffer(frames * KPM_BYTES));
    for (let i = 0; i < frames; i++) put(pgdat, (pfn + i) as Pfn, view, i * KPM_BYTES);
    const copied = copyToIter(to, new Uint8Array(view.buffer), 0, view.byteLength);
    if (copied < view.byteLength) return -EFAULT;
    done += copied;
  }
  return done;
}

/** Whether a frame is a page that may be mapped. */
function isPage(pgdat: PgData, pfn: Pfn): boolean {
  const { flags, refcount } = pgdat.page;
  return refcount[pfn]! > 0 && (flags[pfn]! & (PG_TABLE | PG_BUDDY | PG_RESERVED)) === 0;
}

function putCount(pgdat: PgData, pfn: Pfn, view: DataView, at: number): void {
  if (isPage(pgdat, pfn)) view.setUint32(at, pageUsers(pgdat, pfn), true);
}

/** Whether a frame lies in a block of the buddy lists. @linux mm/page_alloc.c:is_free_buddy_page */
function isFreeBuddyPage(pgdat: PgData, pfn: Pfn): boolean {
  const { flags, private: orders } = pgdat.page;
  for (let order = 0; order <= MAX_ORDER; order++) {
    const head = pfn & ~((1 << order) - 1);
    if ((flags[head]! & PG_BUDDY) !== 0 && orders[head]! >= order) return true;
  }
  return false;
}

function bit(set: boolean, kpfBit: number): number {
  return set ? 1 << kpfBit : 0;
}

/** Flags that mean the same here and there. */
const FLAG_BITS: readonly (readonly [number, number])[] = [
  [PG_DIRTY, kpf.KPF_DIRTY],
  [PG_LRU, kpf.KPF_LRU],
  [PG_ACTIVE, kpf.KPF_ACTIVE],
  [PG_REFERENCED, kpf.KPF_REFERENCED],
  [PG_SWAPCACHE, kpf.KPF_SWAPCACHE],
  [PG_UNEVICTABLE, kpf.KPF_UNEVICTABLE],
];

/** Flags of a page that is in use. */
function pageKpf(pgdat: PgData, pfn: Pfn): number {
  const { flags, mapcount } = pgdat.page;
  const flag = flags[pfn]!;
  const anon = (flag & PG_ANON) !== 0;
  const swapBacked = anon ? (flag & PG_LAZYFREE) === 0 : (flag & PG_SWAPBACKED) !== 0;
  let bits = bit(mapcount[pfn]! > 0, kpf.KPF_MMAP) | bit(anon, kpf.KPF_ANON);
  bits |= bit(swapBacked, kpf.KPF_SWAPBACKED);
  bits |= bit(anon || (flag & PG_UPTODATE) !== 0, kpf.KPF_UPTODATE);
  for (const [pg, kpfBit] of FLAG_BITS) bits |= bit((flag & pg) !== 0, kpfBit);
  return bits;
}

/** Whether a VM_LOCKED mapping holds the page; reclaim notes that on the page only when it comes by. */
function pageMlocked(pgdat: PgData, pfn: Pfn): boolean {
  if (pgdat.page.mapcount[pfn] === 0) return false;
  rmapWalk(pgdat, pfn);
  return (pgdat.rmap.vmFlags & VM_LOCKED) !== 0;
}

/** @linux fs/proc/page.c:stable_page_flags */
function putFlags(pgdat: PgData, pfn: Pfn, view: DataView, at: number): void {
  const flag = pgdat.page.flags[pfn]!;
  if ((flag & PG_RESERVED) !== 0) {
    view.setInt32(at, bit(pfn === pgdat.zeroPfn, kpf.KPF_ZERO_PAGE), true);
    view.setInt32(at + 4, 1 << (kpf.KPF_RESERVED - 32), true);
  } else if ((flag & PG_TABLE) !== 0) view.setInt32(at, 1 << kpf.KPF_PGTABLE, true);
  else if (isPage(pgdat, pfn)) {
    const mlocked = pageMlocked(pgdat, pfn);
    view.setInt32(at, pageKpf(pgdat, pfn) | bit(mlocked, kpf.KPF_UNEVICTABLE), true);
    view.setInt32(at + 4, bit(mlocked, kpf.KPF_MLOCKED - 32), true);
  } else view.setInt32(at, bit(isFreeBuddyPage(pgdat, pfn), kpf.KPF_BUDDY), true);
}

/** There are no memory control groups. */
function putCgroup(): void {}

function kpageOps(kernel: Kernel, put: PutFrame): FileOps {
  return {
    read: (_file: File, to: IovIter, pos: number) => kpageRead(kernel.pgdat, to, pos, put),
    llseek: dirLlseek,
  };
}

/** Makes the three files: they tell of every process, so they are root's. */
export function procPageInit(kernel: Kernel, root: Dentry): void {
  procCreate(root, 'kpagecount', 0o400, kpageOps(kernel, putCount));
  procCreate(root, 'kpageflags', 0o400, kpageOps(kernel, putFlags));
  procCreate(root, 'kpagecgroup', 0o400, kpageOps(kernel, putCgroup));
}
