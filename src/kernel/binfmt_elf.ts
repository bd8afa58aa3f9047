/**
 * Loading an ELF image into a new address space: headers checked, segments mapped, bss
 * cleared. A program and its interpreter (PT_INTERP) are loaded by the same code.
 *
 * @linux fs/binfmt_elf.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TASK_SIZE, pageAlignDown, pageAlignUp } from '../arch/riscv/pgtable.ts';
import type { File } from '../fs/fs_types.ts';
import { getU64 } from '../lib/bits.ts';
import { vmBrkFlags } from '../mm/brk.ts';
import { doMmap, doMunmap, findVma } from '../mm/mmap.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { clearUser } from '../mm/uaccess.ts';
import { VM_WRITE } from '../mm/vma.ts';
import {
  EHDR_BYTES,
  EI_CLASS,
  ELFCLASS64,
  ELF_MAGIC,
  EM_RISCV,
  ET_DYN,
  ET_EXEC,
  E_ENTRY,
  E_MACHINE,
  E_PHENTSIZE,
  E_PHNUM,
  E_PHOFF,
  E_TYPE,
  PF_R,
  PF_W,
  PF_X,
  PHDR_BYTES,
  PT_GNU_STACK,
  PT_INTERP,
  PT_LOAD,
  PT_PHDR,
  P_ALIGN,
  P_FILESZ,
  P_FLAGS,
  P_MEMSZ,
  P_OFFSET,
  P_TYPE,
  P_VADDR,
} from '../uapi/elf.ts';
import { EINVAL, EIO, ELIBBAD, ENOEXEC, ENOMEM } from '../uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../uapi/mman.ts';
import { PATH_MAX } from '../uapi/fcntl.ts';
import { kernelRead } from './binfmt.ts';
import { ELF_ET_DYN_BASE } from './vdso.ts';

/** Largest program header table. @linux ELF_MIN_ALIGN limit of load_elf_phdrs */
const PHDRS_MAX = 65536;

export interface ElfPhdr {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly align: number;
}

export interface ElfImage {
  readonly file: File;
  readonly type: number;
  readonly entry: number;
  readonly phoff: number;
  readonly phdrs: readonly ElfPhdr[];
}

/** Where an image went. Addresses include the load bias. */
export interface LoadedElf {
  readonly bias: number;
  readonly entry: number;
  /** Address of the program headers in memory, 0 if they are not mapped. */
  readonly phdrAddr: number;
  startCode: number;
  endCode: number;
  startData: number;
  endData: number;
  /** End of the highest segment, bss included. */
  brk: number;
}

/** What is wrong with an ELF header, in words, for the embedder; null if it can be run here. */
export function elfHeaderProblem(view: DataView): string | null {
  if (view.getUint32(0, true) !== ELF_MAGIC) return 'not an ELF file';
  const machine = view.getUint16(E_MACHINE, true);
  if (machine !== EM_RISCV) return `ELF machine is ${machine}, want ${EM_RISCV} (EM_RISCV)`;
  const elfClass = view.getUint8(EI_CLASS);
  if (elfClass !== ELFCLASS64) return `ELF class is ${elfClass}, want ${ELFCLASS64} (ELFCLASS64)`;
  const type = view.getUint16(E_TYPE, true);
  if (type !== ET_EXEC && type !== ET_DYN)
    return `ELF type is ${type}, want 2 or 3 (ET_EXEC, ET_DYN)`;
  return null;
}

function readPhdrs(file: File, view: DataView): ElfPhdr[] | null {
  if (view.getUint16(E_PHENTSIZE, true) !== PHDR_BYTES) return null;
  const count = view.getUint16(E_PHNUM, true);
  const size = count * PHDR_BYTES;
  if (size === 0 || size > PHDRS_MAX) return null;
  const bytes = new Uint8Array(size);
  const offset = getU64(view, E_PHOFF);
  if (!Number.isSafeInteger(offset + size)) return null;
  if (kernelRead(file, bytes, offset) !== size) return null;
  const table = new DataView(bytes.buffer);
  const phdrs: ElfPhdr[] = [];
  for (let at = 0; at < size; at += PHDR_BYTES) {
    phdrs.push({
      type: table.getUint32(at + P_TYPE, true),
      flags: table.getUint32(at + P_FLAGS, true),
      offset: getU64(table, at + P_OFFSET),
      vaddr: getU64(table, at + P_VADDR),
      filesz: getU64(table, at + P_FILESZ),
      memsz: getU64(table, at + P_MEMSZ),
      align: getU64(table, at + P_ALIGN),
    });
  }
  return phdrs;
}

/**
 * Reads and checks the headers of `file`.
 * @param head its first bytes, at least EHDR_BYTES, zero-padded.
 * @param bad errno for a header that does not fit: ENOEXEC for a program, ELIBBAD for its interpreter.
 */
export function readElf(file: File, head: Uint8Array, bad: number): ElfImage | number {
  const view = new DataView(head.buffer, head.byteOffset, EHDR_BYTES);
  if (elfHeaderProblem(view) !== null) return -bad;
  const phdrs = readPhdrs(file, view);
  if (phdrs === null) return -bad;
  return {
    file,
    type: view.getUint16(E_TYPE, true),
    entry: getU64(view, E_ENTRY),
    phoff: getU64(view, E_PHOFF),
    phdrs,
  };
}

/** Reads the headers of an interpreter. @returns the image, -EIO when it is too short, -ELIBBAD. */
export function readInterpreter(file: File): ElfImage | number {
  const head = new Uint8Array(EHDR_BYTES);
  const n = kernelRead(file, head, 0);
  if (n !== EHDR_BYTES) return n < 0 ? n : -EIO;
  return readElf(file, head, ELIBBAD);
}

/** @returns the path in PT_INTERP, null if there is none, or -ENOEXEC / -EIO. */
export function interpreterPath(image: ElfImage): string | null | number {
  const phdr = image.phdrs.find((p) => p.type === PT_INTERP);
  if (phdr === undefined) return null;
  if (phdr.filesz > PATH_MAX || phdr.filesz < 2) return -ENOEXEC;
  const bytes = new Uint8Array(phdr.filesz);
  if (!Number.isSafeInteger(phdr.offset)) return -EINVAL;
  const n = kernelRead(image.file, bytes, phdr.offset);
  if (n !== phdr.filesz) return n < 0 ? n : -EIO;
  if (bytes[phdr.filesz - 1] !== 0) return -ENOEXEC;
  return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString('latin1');
}

/** Whether PT_GNU_STACK asks for an executable stack. */
export function wantsExecStack(image: ElfImage): boolean {
  const phdr = image.phdrs.find((p) => p.type === PT_GNU_STACK);
  return phdr !== undefined && (phdr.flags & PF_X) !== 0;
}

function segmentProt(flags: number): number {
  return (
    ((flags & PF_R) !== 0 ? PROT_READ : 0) |
    ((flags & PF_W) !== 0 ? PROT_WRITE : 0) |
    ((flags & PF_X) !== 0 ? PROT_EXEC : 0)
  );
}

/** Bytes from the start of the first to the end of the last segment, 0 if there is none. @linux total_mapping_size */
function totalMappingSize(loads: readonly ElfPhdr[]): number {
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  for (const { vaddr, memsz } of loads) {
    low = Math.min(low, pageAlignDown(vaddr));
    high = Math.max(high, vaddr + memsz);
  }
  return loads.length === 0 ? 0 : high - low;
}

/** Size that is sane within user space. */
function segmentFits(phdr: ElfPhdr, addr: number): boolean {
  const { filesz, memsz } = phdr;
  return addr < TASK_SIZE && filesz <= memsz && memsz <= TASK_SIZE && TASK_SIZE - memsz >= addr;
}

/** Maps the file part of a segment. @returns 0 or -errno. @linux elf_map */
function mapFilePart(mm: MmStruct, file: File, phdr: ElfPhdr, addr: number, fixed: number): number {
  const pageOffset = addr % PAGE_SIZE;
  const size = pageAlignUp(phdr.filesz + pageOffset);
  const offset = phdr.offset - pageOffset;
  if (offset < 0 || offset % PAGE_SIZE !== 0) return -EINVAL;
  const prot = segmentProt(phdr.flags);
  const at = pageAlignDown(addr);
  const mapped = doMmap(mm, at, size, prot, MAP_PRIVATE | fixed, file, offset / PAGE_SIZE);
  if (mapped < 0) return mapped;
  return mapped === at ? 0 : -EINVAL;
}

/** Zeroes the rest of a segment's last file page. Failure matters only where the program may write. */
function clearTail(mm: MmStruct, from: number): number {
  const end = pageAlignUp(from);
  if (end === from) return 0;
  const vma = findVma(mm, from - 1);
  if (vma === undefined || (vma.flags & VM_WRITE) === 0) return 0;
  return clearUser(mm, from, end - from);
}

/** Maps one PT_LOAD: file part, then zero pages to its memory size. @linux elf_load */
function mapSegment(mm: MmStruct, file: File, phdr: ElfPhdr, addr: number, fixed: number): number {
  let anonFrom = pageAlignDown(addr);
  if (phdr.filesz > 0) {
    const err = mapFilePart(mm, file, phdr, addr, fixed);
    if (err !== 0) return err;
    anonFrom = pageAlignUp(addr + phdr.filesz);
    if (phdr.memsz > phdr.filesz) {
      const cleared = clearTail(mm, addr + phdr.filesz);
      if (cleared !== 0) return cleared;
    }
  }
  const end = pageAlignUp(addr + phdr.memsz);
  if (end <= anonFrom) return 0;
  return vmBrkFlags(mm, anonFrom, end - anonFrom, (phdr.flags & PF_X) !== 0);
}

/** Largest alignment a segment asks for, at least a page. */
function maximumAlignment(loads: readonly ElfPhdr[]): number {
  let align = PAGE_SIZE;
  for (const phdr of loads) {
    const isPower = phdr.align > 0 && Number.isInteger(Math.log2(phdr.align));
    if (isPower && phdr.align > align && phdr.align < TASK_SIZE) align = phdr.align;
  }
  return align;
}

/**
 * Where a position-independent image of `total` bytes goes.
 * @param preferred address of its first segment, 0 to let the kernel choose.
 * @returns the load bias or -errno.
 */
function chooseBias(
  mm: MmStruct,
  loads: readonly ElfPhdr[],
  total: number,
  preferred: number,
): number {
  const first = pageAlignDown(loads[0]!.vaddr);
  const align = maximumAlignment(loads);
  if (preferred !== 0) return Math.ceil(preferred / align) * align - first;
  const size = pageAlignUp(total) + align - PAGE_SIZE;
  const at = doMmap(mm, 0, size, 0, MAP_PRIVATE | MAP_ANONYMOUS, null, 0);
  if (at < 0) return at;
  const err = doMunmap(mm, at, size);
  if (err < 0) return err;
  return Math.ceil(at / align) * align - first;
}

/** Address of the program headers once loaded. */
function phdrAddress(image: ElfImage, loads: readonly ElfPhdr[], bias: number): number {
  const phdr = image.phdrs.find((p) => p.type === PT_PHDR);
  if (phdr !== undefined) return phdr.vaddr + bias;
  for (const { offset, filesz, vaddr } of loads) {
    if (offset <= image.phoff && image.phoff < offset + filesz) {
      return image.phoff - offset + vaddr + bias;
    }
  }
  return 0;
}

function noteSegment(loaded: LoadedElf, phdr: ElfPhdr, addr: number): void {
  const fileEnd = addr + phdr.filesz;
  if ((phdr.flags & PF_X) !== 0) {
    if (addr < loaded.startCode) loaded.startCode = addr;
    if (fileEnd > loaded.endCode) loaded.endCode = fileEnd;
  }
  if (addr > loaded.startData) loaded.startData = addr;
  if (fileEnd > loaded.endData) loaded.endData = fileEnd;
  if (addr + phdr.memsz > loaded.brk) loaded.brk = addr + phdr.memsz;
}

/**
 * Maps all segments of an image.
 * @param preferred where a position-independent image should go; 0 leaves it to the kernel.
 * @returns where it went, or -EINVAL, -ENOMEM, -EEXIST...: the address space is then useless.
 * @linux fs/binfmt_elf.c:load_elf_binary, load_elf_interp
 */
export function mapElf(mm: MmStruct, image: ElfImage, preferred: number): LoadedElf | number {
  const loads = image.phdrs.filter((p) => p.type === PT_LOAD);
  const total = totalMappingSize(loads);
  if (total === 0) return -EINVAL;
  if (total > TASK_SIZE) return -ENOMEM;
  const bias = image.type === ET_DYN ? chooseBias(mm, loads, total, preferred) : 0;
  if (bias < 0 && bias > -PAGE_SIZE) return bias;
  const loaded: LoadedElf = {
    bias,
    entry: image.entry + bias,
    phdrAddr: phdrAddress(image, loads, bias),
    startCode: TASK_SIZE,
    endCode: 0,
    startData: 0,
    endData: 0,
    brk: 0,
  };
  let fixed = MAP_FIXED_NOREPLACE;
  for (const phdr of loads) {
    const addr = phdr.vaddr + bias;
    if (addr < 0 || !segmentFits(phdr, addr)) return -EINVAL;
    const err = mapSegment(mm, image.file, phdr, addr, fixed);
    if (err !== 0) return err;
    fixed = MAP_FIXED;
    noteSegment(loaded, phdr, addr);
  }
  if (loaded.entry < 0 || loaded.entry >= TASK_SIZE) return -EINVAL;
  return loaded;
}

/** Where a program goes: a fixed place if it has an interpreter, else as if it were a library. */
export function preferredAddress(hasInterpreter: boolean): number {
  return hasInterpreter ? ELF_ET_DYN_BASE : 0;
}
