/**
 * The structures of the memory manager that point at each other: struct vm_area_struct,
 * mm_struct, address_space, anon_vma and the machine's PgData. They are data; the functions
 * over them are in the files named after their Linux counterparts.
 *
 * @linux include/linux/mm_types.h
 */

import type { Pfn, PtePtr, Vaddr } from '../arch/riscv/pgtable.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { HandleTable } from '../lib/handle_table.ts';
import { MapleTree } from '../lib/maple_tree.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import { XArray } from '../lib/xarray.ts';
import { MemMap, NO_PFN, NR_LRU_LISTS, PAGE_MAPPING_ANON, type MappingId } from './page.ts';
import { SwapState } from './swap_types.ts';
import type { MmEvents } from './events.ts';
import { VmStat } from './vmstat.ts';

export const FMODE_READ = 1;
export const FMODE_WRITE = 2;

/** What mm needs of an open file; fs/file.ts implements it. */
export interface VmFile {
  /** Page cache of the file. */
  readonly mapping: AddressSpace;
  /** Holds the file open while a VMA refers to it. */
  getFile(): void;
  putFile(): void;
  /** What it was opened for (FMODE_*); absent: reading and writing. */
  readonly fMode?: number;
  /** Sets `vma.ops` of a new mapping; absent: the page cache backs it. @returns 0 or -errno. */
  mmap?(vma: Vma): number;
  /** Makes [start, end) a hole, which reads as zeros; absent: its file system has none. @returns 0 or -errno. */
  punchHole?(start: number, end: number): number;
  /** Shared anonymous memory, which may be named as the private kind may. */
  readonly anonShmem?: true;
  /** Path as /proc/PID/maps prints it, as a byte string. */
  mapsName(): string;
  /** Device and inode numbers for /proc/PID/maps. */
  readonly dev: number;
  readonly ino: number;
}

export interface VmOperations {
  /** Finds the page at an offset in the file, in pages. @returns the frame, with a reference for the caller, or VM_FAULT_* bits below 0: no object is made for a fault. */
  fault(vma: Vma, pgoff: number): number;
  /** Maps neighbours of a page that was just mapped for reading at `ptep`, where that needs no I/O. */
  mapPages?(vma: Vma, address: Vaddr, ptep: PtePtr): void;
  /** /proc/PID/maps name when there is no file path: `[vdso]`. */
  readonly name?: string;
  /** Nobody but the process itself gets at the pages: no references, pins, ptrace (memfd_secret). */
  readonly secretmem?: true;
}

export class Vma {
  mm: MmStruct;
  /** [start, end): page-aligned, start < end, no overlap within an mm. */
  start: Vaddr;
  end: Vaddr;
  /** VM_*. */
  flags: number;
  /** Offset of `start` in the file, or start / PAGE_SIZE when it was mapped for private anonymous memory, in pages. */
  pgoff: number;
  /** Where new anonymous pages of this VMA belong; null until the first one. */
  anonVma: AnonVma | null = null;
  /** Every AnonVma that pages of this VMA may belong to: its own and its ancestors'. */
  readonly anonVmaChain: AnonVmaChain[] = [];
  /** Backing file; null for private anonymous memory. Holds one reference. */
  file: VmFile | null = null;
  /** null for private anonymous memory. */
  ops: VmOperations | null = null;
  /** Place in file.mapping.iMmap, -1 when not linked. Owned by address_space.ts. */
  iMmapIndex = -1;
  /** PR_SET_VMA_ANON_NAME; null when unnamed. */
  anonName: string | null = null;
  /** Who is told of faults; not null exactly when `flags` has one of VM_UFFD_FLAGS. */
  uffdCtx: UserfaultfdCtx | null = null;

  constructor(mm: MmStruct, start: Vaddr, end: Vaddr, flags: number, pgoff: number) {
    this.mm = mm;
    this.start = start;
    this.end = end;
    this.flags = flags;
    this.pgoff = pgoff;
  }
}

/** Links one VMA to one AnonVma whose pages it may map. */
export interface AnonVmaChain {
  readonly vma: Vma;
  readonly anonVma: AnonVma;
  /** Place in anonVma.chain. */
  index: number;
}

/**
 * struct anon_vma: the VMAs that may map a set of anonymous pages. A child's VMAs join every
 * AnonVma of the parent's at fork, also when its page tables are shared and no entry was
 * copied; its own AnonVma is made by its first private page.
 */
export class AnonVma {
  readonly pgdat: PgData;
  /** What struct page stores: handle << 1 | PAGE_MAPPING_ANON. */
  readonly id: MappingId;
  /** VMAs that may map its pages, in no order; AnonVmaChain.index is the place. It lives while this is not empty. */
  readonly chain: AnonVmaChain[] = [];

  constructor(pgdat: PgData) {
    this.pgdat = pgdat;
    this.id = ((pgdat.mappings.alloc(this) << 1) | PAGE_MAPPING_ANON) as MappingId;
  }
}

export interface AddressSpaceOps {
  /**
   * Fills the frame `pfn` with the page at `index`; bytes past the end of the file are zeroed by the callee.
   * Absent for memory-only files: a missing page is then a hole of zeroes.
   * @returns 0 or -errno (-EIO becomes SIGBUS in a fault).
   */
  readFolio?(mapping: AddressSpace, index: number, pfn: Pfn): number;
  /**
   * Writes the page at `index` back from the frame `pfn`. Allocates no frame.
   * Absent: a changed page has no other home, and only swap can take it.
   * @returns 0 or -errno.
   */
  writePage?(mapping: AddressSpace, index: number, pfn: Pfn): number;
  /** Size of the file in bytes: faults past its last page are SIGBUS. */
  size(mapping: AddressSpace): number;
}

export class AddressSpace {
  readonly pgdat: PgData;
  readonly ops: AddressSpaceOps;
  /** What struct page stores: handle << 1. */
  readonly id: MappingId;
  /** Page index -> frame, on which the cache holds one reference; or, below 0, a place in swap (swapEntryToValue()). */
  readonly pages = new XArray();
  /** Mapped by these VMAs, in no order; vma.iMmapIndex is the place. */
  readonly iMmap: Vma[] = [];
  /** Shared memory or tmpfs: pages have no other home and count as RssShmem. */
  readonly swapBacked: boolean;
  /** When pages that are not cached were reclaimed, by index; see workingset.ts. null until the first. */
  shadows: XArray | null = null;
  /** Pages that are in swap: those of `pages` that are no frames. @linux include/linux/shmem_fs.h:shmem_inode_info.swapped */
  swapped = 0;
  /** Reclaim leaves its pages alone. @linux include/linux/pagemap.h:mapping_unevictable */
  unevictable = false;

  constructor(pgdat: PgData, ops: AddressSpaceOps, swapBacked: boolean) {
    this.pgdat = pgdat;
    this.ops = ops;
    this.swapBacked = swapBacked;
    this.id = (pgdat.mappings.alloc(this) << 1) as MappingId;
  }
}

/** The limits mm enforces, in bytes; an object of the thread group, shared with kernel/. */
export interface MmLimits {
  /** RLIMIT_AS: total mapped. */
  as: number;
  /** RLIMIT_DATA: private writable. */
  data: number;
  /** RLIMIT_STACK: size to which a stack may grow. */
  stack: number;
  /** RLIMIT_MEMLOCK: locked. */
  memlock: number;
}

/** Indexes of MmStruct.rss. @linux include/linux/mm_types_task.h */
export const MM_FILEPAGES = 0;
export const MM_ANONPAGES = 1;
export const MM_SWAPENTS = 2;
export const MM_SHMEMPAGES = 3;
export const NR_MM_COUNTERS = 4;

export class MmStruct {
  readonly pgdat: PgData;
  /** Handle in pgdat.mms: what a page table's ptOwner names. Never 0. */
  readonly id: number;
  /** Tasks that run in it (threads, vfork children). */
  users = 1;
  /** Root page table. */
  pgd: Pfn = NO_PFN;
  readonly vmas = new MapleTree<Vma>();
  /** MMF_*. */
  flags = 0;
  limits: MmLimits;
  /** VMAs with one of VM_UNSHAREABLE: 0 lets fork share every table without looking at VMAs. Kept by vmaFlagsChanged() and kin. */
  unshareableVmas = 0;

  /** CAP_IPC_LOCK of its tasks: RLIMIT_MEMLOCK is not for them. Kept by kernel/cred.ts, as the next. */
  ipcLock = false;
  /** CAP_SYS_RAWIO of its tasks: fixed mappings may go below MMAP_MIN_ADDR. */
  mayMapLow = false;
  /** Highest address for mappings placed by the kernel: they grow down from here. */
  mmapBase: Vaddr = 0;
  startCode: Vaddr = 0;
  endCode: Vaddr = 0;
  startData: Vaddr = 0;
  endData: Vaddr = 0;
  startBrk: Vaddr = 0;
  /** End of the heap, not aligned. */
  brk: Vaddr = 0;
  startStack: Vaddr = 0;
  argStart: Vaddr = 0;
  argEnd: Vaddr = 0;
  envStart: Vaddr = 0;
  envEnd: Vaddr = 0;

  /**
   * Pages by kind (MM_*): what a walk of the tables counts, shared tables in full, at any time.
   * Who changes an entry of a shared table in place changes this for every mm that reaches it.
   */
  readonly rss = new Int32Array(NR_MM_COUNTERS);
  /** Pages mapped, locked, and of data, executable and stack VMAs. */
  totalVm = 0;
  lockedVm = 0;
  dataVm = 0;
  execVm = 0;
  stackVm = 0;
  /** Highest totalVm and RSS seen, in pages (VmPeak, VmHWM). RSS is sampled where it is about to shrink. */
  hiwaterVm = 0;
  hiwaterRss = 0;
  /** Shared tables made private, by level: copied [0..2], and taken over [3..5]. */
  readonly cowBreaks = [0, 0, 0, 0, 0, 0];
  /** Flags for new VMAs: VM_LOCKED after mlockall(MCL_FUTURE). */
  defFlags = 0;
  /** Events of the call in progress, which ends when all have been read. */
  uffdEvents: UffdEvent[] = [];

  /** Faults that needed no I/O, and those that read a file. */
  minorFaults = 0;
  majorFaults = 0;

  exeFile: VmFile | null = null;
  /** The auxiliary vector the program started with: types and values in turn. Never changed in place. */
  savedAuxv: readonly number[] = [];

  constructor(pgdat: PgData, limits: MmLimits) {
    this.pgdat = pgdat;
    this.limits = limits;
    this.id = pgdat.mms.alloc(this);
  }
}

/**
 * Where one page is mapped, as the last rmapWalk() found it. One per machine: reclaim looks at
 * one page after the other, and makes no garbage.
 */
export class RmapPlaces {
  /** VMAs that map the page, each with an mm that counts it. Valid below nrVmas. */
  readonly vmas: Vma[] = [];
  nrVmas = 0;
  /** The entries: fewer than VMAs where tables are shared. Valid below nrPteps. */
  readonly pteps: PtePtr[] = [];
  nrPteps = 0;
  /** VM_* flags that any of the VMAs has. */
  vmFlags = 0;
}

/** An access that waits until somebody has filled in the page. @linux mm/userfaultfd.c:userfaultfd_wait_queue */
export class Userfault {
  readonly ctx: UserfaultfdCtx;
  readonly address: Vaddr;
  /** UFFD_PAGEFAULT_FLAG_*. */
  readonly flags: number;
  /** The thread, 0 unless it is asked for. */
  ptid = 0;
  /** The message has been read: it is not told again. */
  read = false;
  /** The task; nobody once it has gone on or ended. */
  readonly queue = new WaitQueue();

  constructor(ctx: UserfaultfdCtx, address: Vaddr, flags: number) {
    this.ctx = ctx;
    this.address = address;
    this.flags = flags;
  }
}

/** A change of the address space, whose author waits until it has been read. */
export interface UffdEvent {
  readonly kind: 'fork' | 'remap';
  /** 'fork': what the child's faults are told to. */
  readonly child: UserfaultfdCtx | null;
  readonly from: Vaddr;
  readonly to: Vaddr;
  readonly len: number;
  readonly queue: WaitQueue;
}

/** What stands behind one userfaultfd. @linux mm/userfaultfd.c:userfaultfd_ctx */
export class UserfaultfdCtx {
  readonly mm: MmStruct;
  /** UFFD_USER_MODE_ONLY. */
  readonly userModeOnly: boolean;
  /** UFFD_FEATURE_*, as UFFDIO_API asked for them. */
  features = 0;
  /** UFFDIO_API has been called. */
  initialized = false;
  /** Waiting accesses, oldest first; some may have gone on by themselves. */
  faults: Userfault[] = [];
  /** Changes that were not read yet, oldest first. */
  readonly events: UffdEvent[] = [];
  /** Who reads or polls. */
  readonly wait = new WaitQueue();

  constructor(mm: MmStruct, userModeOnly: boolean) {
    this.mm = mm;
    this.userModeOnly = userModeOnly;
  }
}

/** Orders of the buddy allocator: blocks of 1 to 1024 frames. */
export const MAX_ORDER = 10;
/**
 * Frames the stack of single frames holds at most: 16 MiB. What a program frees is what the next
 * faults get, still in the host's caches; the buddy lists would hand out older frames first.
 */
export const PCP_HIGH = 4096;

export class PgData {
  readonly ram: Ram;
  readonly page: MemMap;
  readonly vmstat = new VmStat();
  /** Told what happens; null when nobody watches. */
  events: MmEvents | null = null;
  /** What page.mapping names. */
  readonly mappings = new HandleTable<AddressSpace | AnonVma>();
  /** Live address spaces by MmStruct.id. */
  readonly mms = new HandleTable<MmStruct>();
  /** Heads of the buddy free lists by order (frame numbers, 0 = empty). */
  readonly freeHead = new Int32Array(MAX_ORDER + 1);
  /** Free frames. */
  freeFrames = 0;
  /** Frames the allocator manages. */
  managedFrames = 0;
  /** The frame every untouched anonymous page reads as; never counted, never freed. */
  zeroPfn: Pfn = NO_PFN;
  /** The address space on the hart; TLB flushes for any other are no-ops. */
  activeMm: MmStruct | null = null;
  /** Page tables of all levels (PageTables in /proc/meminfo), in frames. */
  pageTables = 0;
  /** Frames freed one by one and not yet merged into blocks: a stack of `pcpCount`. */
  readonly pcp = new Int32Array(PCP_HIGH);
  pcpCount = 0;
  /** Pages on each LRU list (LRU_*); the heads are in mem_map, see swap.ts. */
  readonly lruSize = new Int32Array(NR_LRU_LISTS);
  /** Something was unlocked since the unevictable list was last looked through. */
  munlocked = false;
  readonly swap = new SwapState();
  readonly rmap = new RmapPlaces();
  /** vm.swappiness: how willingly anonymous memory is reclaimed, 0 to 200. Linux's default. */
  swappiness = 60;
  /** What reclaiming each kind has cost lately: pages written, and pages looked at in vain. */
  anonCost = 0;
  fileCost = 0;
  /** Above 0, an allocation fails rather than reclaim: somebody's counts are half changed. */
  noReclaim = 0;
  /** An allocation failed for that since this was last cleared. */
  reclaimDeferred = false;
  /** Counts reclaimed pages, around 32 bits: the clock of workingset.ts. */
  nonresidentAge = 1;
  /** The last look at how much is read again, by thrashing(). */
  readonly thrash = { age: 1, refaults: 0, windows: 0 };
  /** Pages of code read again that were reclaimed before. */
  codeRefaults = 0;
  /** Times in a row that kswapd found nothing to reclaim. */
  kswapdFailures = 0;
  /** vm.min_free_kbytes: what the watermarks are made from. */
  minFreeKbytes = 0;
  /** Free frames below which kswapd is woken, and up to which it works. */
  wmarkLow = 0;
  wmarkHigh = 0;
  /** Free frames are few: the machine runs kswapd() at its next chance. */
  kswapdWanted = false;
  /** The access that met a missing page and may wait for it, of the system call or trap in progress. */
  userfault: Userfault | null = null;
  /** An access to user memory failed for want of a frame, in the system call in progress. */
  faultOom = false;
  /** Upcall for direct reclaim: frees some frames. @returns how many. */
  reclaim: ((wanted: number) => number) | null = null;
  /** Fault injection: allocations left until one fails; 0 = off. */
  failAllocAfter = 0;

  constructor(ram: Ram) {
    this.ram = ram;
    this.page = new MemMap(ram);
  }
}
