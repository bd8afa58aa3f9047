/** The real memory manager behind the steps of a random program, and how it is compared with the model. */

import assert from 'node:assert/strict';
import { HART_TLB_FILLS } from '../../src/arch/riscv/hart_state.ts';
import {
  PAGE_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_READ_BASE,
  TLB_WRITE_BASE,
} from '../../src/arch/riscv/memlayout.ts';
import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  LEVEL_SIZE,
  PTE_PATH_RO,
  PTE_R,
  PTE_SPECIAL,
  PTE_U,
  PTE_V,
  PTE_W,
  ptePfn,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
} from '../../src/arch/riscv/pgtable.ts';
import { Ram } from '../../src/arch/riscv/ram.ts';
import { TLB_LOG_ENTRIES } from '../../src/arch/riscv/tlb.ts';
import { fromHalves, highHalf, lowHalf } from '../../src/lib/bits.ts';
import { vmaAddress } from '../../src/mm/anon_vma.ts';
import { doBrk } from '../../src/mm/brk.ts';
import { filemapWrite } from '../../src/mm/filemap.ts';
import { dupMm, mmAlloc, mmput } from '../../src/mm/fork.ts';
import { mmPopulate } from '../../src/mm/gup.ts';
import { iovKernel } from '../../src/mm/iov_iter.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { doMlock, doMunlock } from '../../src/mm/mlock.ts';
import { createPgData } from '../../src/mm/mm_init.ts';
import { MMF_COW_PTE, RLIM_NONE } from '../../src/mm/mm_struct.ts';
import {
  AddressSpace,
  FMODE_READ,
  FMODE_WRITE,
  type MmStruct,
  type PgData,
  type Vma,
  type VmFile,
} from '../../src/mm/mm_types.ts';
import { doMmap, doMunmap } from '../../src/mm/mmap.ts';
import { doMseal } from '../../src/mm/mseal.ts';
import { doMprotect } from '../../src/mm/mprotect.ts';
import { doMremap } from '../../src/mm/mremap.ts';
import { pageAnon, PG_SWAPCACHE } from '../../src/mm/page.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pteIsGuard } from '../../src/arch/riscv/pgtable.ts';
import { pathFlags, ptePtrOf } from '../../src/mm/pgtable.ts';
import { mmUsage } from '../../src/mm/rss.ts';
import {
  isSwapPte,
  pteToSwapEntry,
  swapEntryOffset,
  swapEntryType,
  valueToSwapEntry,
  type SwapEntry,
} from '../../src/mm/swap_types.ts';
import { doSwapoff } from '../../src/mm/swapoff.ts';
import {
  destroyMapping,
  truncateInodePages,
  truncatePagecacheRange,
} from '../../src/mm/truncate.ts';
import { getUser32, putUser32 } from '../../src/mm/uaccess.ts';
import { tryToFreePages } from '../../src/mm/vmscan.ts';
import {
  VM_ACCESS_FLAGS,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_SEALED,
  VM_SHARED,
  VM_WIPEONFORK,
  vmaPages,
} from '../../src/mm/vma.ts';
import { ENOMEM } from '../../src/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_LOCKED,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MLOCK_ONFAULT,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from '../../src/uapi/mman.ts';
import { checkPageUsers } from '../unit/mm/users_check.ts';
import {
  type Content,
  contentOf,
  LOCKED_ON_FAULT,
  type PageState,
  type Proc,
  UNLOCKED,
  WORD_OFFSETS,
  ZERO,
} from './mm_property_model.ts';
import {
  ARENA,
  ARENA_PAGES,
  FILE_PAGES,
  HANDLES,
  type Step,
  START_BRK,
} from './mm_property_steps.ts';
import { pageoutRange, testSwapon } from '../unit/mm/harness.ts';

const READABLE = PTE_V | PTE_U | PTE_R;
const MEMORY = 16 * 1024 * 1024;
/** Less than the largest programs use, so that swap is full now and then. */
const SWAP_SLOTS = 700;

class OpenFile implements VmFile {
  readonly mapping: AddressSpace;
  readonly fMode: number;
  readonly dev = 1;
  readonly ino = 1;
  refs = 0;

  constructor(mapping: AddressSpace, fMode: number) {
    this.mapping = mapping;
    this.fMode = fMode;
  }
  getFile(): void {
    this.refs++;
  }
  putFile(): void {
    this.refs--;
  }
  punchHole(start: number, end: number): number {
    truncatePagecacheRange(this.mapping, start, end);
    return 0;
  }
  mapsName(): string {
    return '/file';
  }
}

class Inode {
  bytes = FILE_PAGES * PAGE_SIZE;
  readonly mapping: AddressSpace;

  constructor(pgdat: PgData) {
    this.mapping = new AddressSpace(pgdat, { size: () => this.bytes }, true);
  }
}

/** An address as a page number; errors stay. */
function inPages(result: number): number {
  return result < 0 ? result : result / PAGE_SIZE;
}

/** Runs programs one after another; each must leave it as it found it. */
export class TestMachine {
  readonly pgdat: PgData;
  readonly cowPte: boolean;
  readonly mms: MmStruct[] = [];
  inodes: Inode[] = [];
  handles: OpenFile[] = [];
  private readonly freeAtStart: number;
  /** TLB entries, as word indices, that activate() filled. */
  private readonly filled: number[] = [];

  /** @param swap the machine has a swap area. */
  constructor(cowPte: boolean, swap: boolean) {
    this.cowPte = cowPte;
    this.pgdat = createPgData(new Ram(MEMORY));
    if (swap) testSwapon(this.pgdat, SWAP_SLOTS);
    this.freeAtStart = this.pgdat.freeFrames;
  }

  begin(): void {
    const a = new Inode(this.pgdat);
    const b = new Inode(this.pgdat);
    const all = FMODE_READ | FMODE_WRITE;
    this.inodes = [a, a, b];
    this.handles = [
      new OpenFile(a.mapping, all),
      new OpenFile(a.mapping, FMODE_READ),
      new OpenFile(b.mapping, all),
    ];
    assert.equal(this.handles.length, HANDLES);
    const limits = { as: RLIM_NONE, data: RLIM_NONE, stack: RLIM_NONE, memlock: RLIM_NONE };
    const mm = mmAlloc(this.pgdat, limits)!;
    if (this.cowPte) mm.flags |= MMF_COW_PTE;
    mm.mmapBase = (ARENA + ARENA_PAGES) * PAGE_SIZE;
    mm.startBrk = START_BRK * PAGE_SIZE;
    mm.brk = mm.startBrk;
    this.mms.push(mm);
  }

  /** Ends all processes: nothing may be left. */
  end(): void {
    for (const mm of this.mms) mmput(mm);
    this.mms.length = 0;
    for (const handle of this.handles) assert.equal(handle.refs, 0, 'references of a closed file');
    for (const mapping of new Set(this.inodes.map((inode) => inode.mapping))) {
      assert.equal(mapping.iMmap.length, 0, 'mappings of a closed file');
      destroyMapping(mapping);
    }
    checkPageTables(this.pgdat);
    assert.equal(this.pgdat.freeFrames, this.freeAtStart, 'free frames at the end');
    const { freePages, totalPages } = this.pgdat.swap;
    assert.equal(freePages, totalPages, 'free swap slots at the end');
    assert.equal(this.pgdat.pageTables, 0, 'page tables at the end');
    assert.equal(this.pgdat.mappings.used, 0, 'mappings at the end');
    assert.equal(this.pgdat.mms.used, 0, 'address spaces at the end');
  }

  /**
   * Puts a process on the hart, its TLBs full of all that its tables allow: whatever the next
   * step takes away must leave them.
   */
  activate(proc: number): void {
    const mm = this.mms[proc]!;
    const { i32 } = this.pgdat.ram;
    for (const at of this.filled) i32.fill(-1, at, at + 2);
    this.filled.length = 0;
    this.pgdat.activeMm = mm;
    for (let kind = 0; kind < 3; kind++) i32[(HART_TLB_FILLS >> 2) + kind] = TLB_LOG_ENTRIES + 1;
    this.eachEntry(mm, mm.pgd, LEVEL_PGD, 0, true, (addr, pte, writable) => {
      if ((pte & READABLE) !== READABLE) return;
      this.fillTlb(TLB_READ_BASE, addr, pte);
      if (writable && (pte & PTE_W) !== 0) this.fillTlb(TLB_WRITE_BASE, addr, pte);
    });
  }

  private fillTlb(base: number, addr: number, pte: Pte): void {
    const { i32 } = this.pgdat.ram;
    const at = (base + ((addr / PAGE_SIZE) % TLB_ENTRIES) * TLB_ENTRY_SIZE) >> 2;
    i32[at] = lowHalf(addr);
    i32[at + 1] = highHalf(addr);
    i32[at + 2] = ptePfn(pte) * PAGE_SIZE - lowHalf(addr);
    this.filled.push(at);
  }

  /** What is left in the TLBs must be what the tables allow still. */
  private checkTlb(): void {
    const { activeMm, ram } = this.pgdat;
    if (activeMm === null) return;
    for (const at of this.filled) {
      if (ram.i32[at] === -1 && ram.i32[at + 1] === -1) continue;
      const addr = fromHalves(ram.i32[at]!, ram.i32[at + 1]!);
      const pte = this.pteAt(activeMm, addr);
      const frame = (ram.i32[at + 2]! + lowHalf(addr)) / PAGE_SIZE;
      let fits = (pte & READABLE) === READABLE && ptePfn(pte) === frame;
      if (at >= TLB_WRITE_BASE >> 2 && fits) {
        fits = (pte & PTE_W) !== 0 && pathFlags(activeMm, addr) === 0;
      }
      assert.ok(fits, `stale TLB entry for page ${addr / PAGE_SIZE - ARENA}`);
    }
  }

  private eachEntry(
    mm: MmStruct,
    table: Pfn,
    level: number,
    base: number,
    writable: boolean,
    visit: (addr: number, pte: Pte, writable: boolean) => void,
  ): void {
    const { u32 } = this.pgdat.ram;
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const pte = u32[entryPtr(table, i)] as Pte;
      if (pte === 0) continue;
      const addr = base + i * LEVEL_SIZE[level]!;
      const below = writable && (pte & PTE_PATH_RO) === 0;
      if (level === LEVEL_PTE) visit(addr, pte, writable);
      else this.eachEntry(mm, ptePfn(pte), level - 1, addr, below, visit);
    }
  }

  /** Runs a step with an allocation failing in it. @returns its result, and whether one did fail. */
  runFailing(step: Step, proc: number): { result: number; fired: boolean } {
    this.pgdat.failAllocAfter = step.failAfter;
    const result = this.run(step, proc);
    const fired = this.pgdat.failAllocAfter === 0;
    this.pgdat.failAllocAfter = 0;
    return { result, fired };
  }

  /** @returns what the call returned, addresses as page numbers. */
  run(step: Step, proc: number): number {
    const mm = this.mms[proc]!;
    switch (step.op) {
      case 'mmap':
        return inPages(this.mmap(mm, step));
      case 'munmap':
        return doMunmap(mm, step.page * PAGE_SIZE, step.len * PAGE_SIZE);
      case 'mprotect':
        return doMprotect(mm, step.page * PAGE_SIZE, step.len * PAGE_SIZE, step.prot);
      case 'madvise':
        return doMadvise(mm, step.page * PAGE_SIZE, step.len * PAGE_SIZE, step.advice);
      case 'mlock':
        return this.mlock(mm, step.page * PAGE_SIZE, step.len * PAGE_SIZE, step.kind);
      case 'mseal':
        return doMseal(mm, step.page * PAGE_SIZE, step.len * PAGE_SIZE);
      case 'mremap':
        return inPages(this.mremap(mm, step));
      case 'brk':
        return inPages(doBrk(mm, step.page * PAGE_SIZE));
      case 'fork':
        return this.fork(mm);
      case 'exit':
        this.mms.splice(proc, 1);
        mmput(mm);
        return 0;
      case 'read':
        return getUser32(mm, step.page * PAGE_SIZE + WORD_OFFSETS[step.word]!);
      case 'write':
        return putUser32(mm, step.page * PAGE_SIZE + WORD_OFFSETS[step.word]!, step.value);
      case 'filewrite':
        return this.filewrite(step.handle, step.index, step.word, step.value);
      case 'truncate':
        this.inodes[step.handle]!.bytes = step.pages * PAGE_SIZE;
        truncateInodePages(this.inodes[step.handle]!.mapping, step.pages * PAGE_SIZE);
        return 0;
      case 'pageout':
        pageoutRange(mm, step.page * PAGE_SIZE, step.len * PAGE_SIZE);
        return 0;
      case 'reclaim':
        tryToFreePages(this.pgdat, step.frames);
        return 0;
      case 'swapoff':
        return this.swapoff();
    }
  }

  /** Empties swap and switches it on again. */
  private swapoff(): number {
    const err = doSwapoff(this.pgdat, this.pgdat.swap.active[0]!);
    if (err === 0) testSwapon(this.pgdat, SWAP_SLOTS);
    return err;
  }

  private mmap(mm: MmStruct, step: Step & { op: 'mmap' }): number {
    let flags = step.shared ? MAP_SHARED : MAP_PRIVATE;
    if (step.handle < 0) flags |= MAP_ANONYMOUS;
    if (step.mode === 'fixed') flags |= MAP_FIXED;
    if (step.mode === 'noreplace') flags |= MAP_FIXED_NOREPLACE;
    if (step.locked) flags |= MAP_LOCKED;
    if (step.populate) flags |= MAP_POPULATE;
    const addr = step.mode === 'any' ? 0 : step.page * PAGE_SIZE;
    const file = step.handle < 0 ? null : this.handles[step.handle]!;
    return doMmap(mm, addr, step.len * PAGE_SIZE, step.prot, flags, file, step.index);
  }

  private mremap(mm: MmStruct, step: Step & { op: 'mremap' }): number {
    let flags = step.mayMove ? MREMAP_MAYMOVE : 0;
    if (step.fixed && step.mayMove) flags |= MREMAP_FIXED;
    if (step.dontUnmap) flags |= MREMAP_DONTUNMAP;
    const { page, oldLen, newLen, newPage } = step;
    const oldBytes = oldLen * PAGE_SIZE;
    const newBytes = newLen * PAGE_SIZE;
    return doMremap(mm, page * PAGE_SIZE, oldBytes, newBytes, flags, newPage * PAGE_SIZE);
  }

  private mlock(mm: MmStruct, addr: number, len: number, kind: number): number {
    if (kind === UNLOCKED) return doMunlock(mm, addr, len);
    return doMlock(mm, addr, len, kind === LOCKED_ON_FAULT ? MLOCK_ONFAULT : 0);
  }

  private fork(mm: MmStruct): number {
    const child = dupMm(mm);
    if (child === null) return -ENOMEM;
    this.mms.push(child);
    return 0;
  }

  private filewrite(handle: number, index: number, word: number, value: number): number {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, value, true);
    const pos = index * PAGE_SIZE + WORD_OFFSETS[word]!;
    const got = filemapWrite(this.inodes[handle]!.mapping, iovKernel(bytes), pos);
    return got === bytes.length ? 0 : got;
  }

  /** Where the VMA of a page ends, as a page number; 0 if there is none. */
  vmaEnd(proc: number, page: number): number {
    const vma = this.mms[proc]!.vmas.find(page * PAGE_SIZE);
    return vma === undefined || vma.start > page * PAGE_SIZE ? 0 : vma.end / PAGE_SIZE;
  }

  /** Completes what a failed allocation left of MAP_POPULATE, which reports no errors. */
  populate(proc: number, page: number, len: number): void {
    mmPopulate(this.mms[proc]!, page * PAGE_SIZE, (page + len) * PAGE_SIZE, true);
  }

  /** The VMAs of a process as text, for comparing machines. */
  maps(proc: number): string {
    const lines: string[] = [];
    for (const vma of this.mms[proc]!.vmas) {
      const range = `${(vma.start / PAGE_SIZE - ARENA).toString()}+${vmaPages(vma)}`;
      lines.push(
        `${range} ${vma.flags.toString(16)} @${vma.pgoff} ${vma.file === null ? 'anon' : 'file'}`,
      );
    }
    return lines.join('\n');
  }

  /** Compares one process with the model without changing anything. */
  check(proc: number, model: Proc): void {
    const mm = this.mms[proc]!;
    let pages = 0;
    const recount = { total: 0, locked: 0 };
    for (const vma of mm.vmas) {
      pages += vmaPages(vma);
      recount.total += vmaPages(vma);
      if ((vma.flags & VM_LOCKED) !== 0) recount.locked += vmaPages(vma);
      for (let addr = vma.start; addr < vma.end; addr += PAGE_SIZE) {
        this.checkPage(vma, addr, model.pages.get(addr / PAGE_SIZE));
      }
    }
    assert.equal(pages, model.pages.size, 'pages mapped');
    assert.equal(mm.totalVm, recount.total, 'total_vm');
    assert.equal(mm.lockedVm, recount.locked, 'locked_vm');
    assert.equal(mm.brk, model.brk * PAGE_SIZE, 'brk');
    this.eachEntry(mm, mm.pgd, LEVEL_PGD, 0, true, (addr, pte, writable) => {
      this.checkEntry(mm, addr, pte, writable);
    });
  }

  private checkPage(vma: Vma, addr: number, state: PageState | undefined): void {
    const where = `page ${addr / PAGE_SIZE - ARENA}`;
    assert.ok(state !== undefined, `${where} is mapped, the model has nothing there`);
    const { flags } = vma;
    assert.equal(flags & VM_ACCESS_FLAGS, state.prot, `${where}: rights`);
    assert.equal((flags & VM_MAYSHARE) !== 0, state.shared, `${where}: shared`);
    assert.equal((flags & VM_DONTCOPY) !== 0, state.dontFork, `${where}: MADV_DONTFORK`);
    assert.equal((flags & VM_WIPEONFORK) !== 0, state.wipeOnFork, `${where}: MADV_WIPEONFORK`);
    assert.equal((flags & VM_DONTDUMP) !== 0, state.dontDump, `${where}: MADV_DONTDUMP`);
    assert.equal((flags & VM_SEALED) !== 0, state.sealed, `${where}: sealed`);
    const lock = (flags & VM_LOCKED) === 0 ? 0 : (flags & VM_LOCKONFAULT) === 0 ? 1 : 2;
    assert.equal(lock, state.locked, `${where}: locked`);
    assert.equal(vma.file === null, state.handle === null, `${where}: file`);
    const index = vma.pgoff + (addr - vma.start) / PAGE_SIZE;
    if (vma.file !== null) assert.equal(index, state.index, `${where}: file offset`);
    assert.equal(pteIsGuard(this.pteAt(vma.mm, addr)), state.guard, `${where}: guard`);
    if (state.guard) return;
    const want = contentOf(state);
    const got = this.contentAt(vma, addr, index);
    if (want === null)
      assert.equal(this.pteAt(vma.mm, addr), 0, `${where}: mapped behind the end of its file`);
    else assert.deepEqual(got, want, `${where}: content`);
  }

  private pteAt(mm: MmStruct, addr: number): Pte {
    const ptep = ptePtrOf(mm, addr);
    return (ptep === 0 ? 0 : mm.pgdat.ram.u32[ptep]!) as Pte;
  }

  /** What the process would read, found without a fault. */
  private contentAt(vma: Vma, addr: number, index: number): Content {
    const pte = this.pteAt(vma.mm, addr);
    if (isSwapPte(pte)) return this.contentInSwap(pteToSwapEntry(pte));
    let pfn = ptePfn(pte);
    if (pte === 0) {
      if (vma.file === null) return ZERO;
      pfn = vma.file.mapping.pages.get(index) as Pfn;
      if (pfn === 0) return ZERO;
      if (pfn < 0) return this.contentInSwap(valueToSwapEntry(pfn));
    }
    return this.contentOfFrame(pfn);
  }

  private contentOfFrame(pfn: number): Content {
    const { view } = this.pgdat.ram;
    return WORD_OFFSETS.map((offset) => view.getUint32(pfn * PAGE_SIZE + offset, true));
  }

  private contentInSwap(entry: SwapEntry): Content {
    const { swap } = this.pgdat;
    const { device, cache } = swap.areas[swapEntryType(entry)]!;
    const offset = swapEntryOffset(entry);
    const bytes = new Uint8Array(PAGE_SIZE);
    device.readPage(offset, bytes, 0);
    const view = new DataView(bytes.buffer);
    const content = WORD_OFFSETS.map((at) => view.getUint32(at, true));
    if (cache[offset] !== 0) {
      assert.deepEqual(this.contentOfFrame(cache[offset]!), content, 'cached page and its slot');
    }
    return content;
  }

  /** Every anonymous page must be found from its AnonVma, and a writable private page must be nobody else's. */
  private checkEntry(mm: MmStruct, addr: number, pte: Pte, writable: boolean): void {
    const { page, mappings } = this.pgdat;
    const where = `page ${addr / PAGE_SIZE - ARENA}`;
    const vma = mm.vmas.find(addr)!;
    const canWrite = writable && (pte & (PTE_V | PTE_W)) === (PTE_V | PTE_W);
    if (canWrite && (vma.flags & VM_SHARED) === 0) {
      const cached = (page.flags[ptePfn(pte)]! & PG_SWAPCACHE) === 0 ? 0 : 1;
      assert.equal(
        page.refcount[ptePfn(pte)]! - cached,
        1,
        `${where}: writable and somebody else's too`,
      );
    }
    if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V || !pageAnon(page, ptePfn(pte))) return;
    const owner = mappings.get(page.mapping[ptePfn(pte)]! >> 1);
    assert.ok(
      vma.anonVmaChain.some((avc) => avc.anonVma === owner),
      `${where}: its AnonVma does not lead to its VMA`,
    );
    assert.equal(vmaAddress(vma, page.index[ptePfn(pte)]!), addr, `${where}: address by rmap`);
  }

  /** Recounts the tables; every table must be counted for one process. */
  checkTables(): void {
    checkPageTables(this.pgdat);
    checkPageUsers(this.pgdat);
    this.checkTlb();
    let bytes = 0;
    for (const mm of this.mms) bytes += mmUsage(mm).tableBytes;
    assert.equal(bytes, this.pgdat.pageTables * PAGE_SIZE, 'sum of VmPTE');
  }
}
