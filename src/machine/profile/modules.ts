/**
 * The files whose code was seen, and what is known about places in them. A place is asked for
 * by file and offset, so all processes that map a file share what was found out once.
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { File, type Inode } from '../../fs/fs_types.ts';
import { vmaName } from '../../fs/proc/vma_name.ts';
import { kernelRead } from '../../kernel/binfmt.ts';
import type { Vma } from '../../mm/mm_types.ts';
import { isReg } from '../../uapi/stat.ts';
import { frameRow, rowAt, type CfiRow } from './cfi.ts';
import { findFde, parseEhFrame, type EhFrame, type FdeTable } from './eh_frame.ts';
import { readElfFile, vaddrOfOffset, type ElfFile } from './elf_file.ts';
import { findGoFunction, type GoFunction } from './go_pclntab.ts';
import { findSymbol, symbolName } from './symbols.ts';

/** Places known of one module; with more it begins anew. */
const PLACES_MAX = 1 << 18;
/** Bytes of symbols and call frame information that are read in all. */
const BYTES_MAX = 1024 ** 3;
/** Functions that are told apart. */
const FUNCTIONS_MAX = 1 << 20;
/** Index of what stands for all others, and of what stands for callers that were not looked at. */
const OTHER = 0;
export const TRUNCATED = 1;

const NO_EH_FRAME: EhFrame = { vaddr: 0, bytes: new Uint8Array(0) };

/** A function by name and module: what a frame of a stack is shown as. */
export interface ProfileFunction {
  readonly name: string;
  readonly module: string;
}

/** What is known about one place in the code. */
interface Place {
  /** Index in Modules.functions. */
  readonly fn: number;
  /** Where its caller's registers are; null when nobody says. */
  readonly row: CfiRow | null;
}

/** One file, or one kind of memory that is no file's. */
export interface Module {
  /** Without its folder, printable. */
  readonly name: string;
  /** null when it is no program or library. */
  readonly elf: ElfFile | null;
  readonly fdes: FdeTable | null;
  /** By offset in the file. */
  readonly places: Map<number, Place>;
  /** Index in Modules.functions, by name. */
  readonly functions: Map<string, number>;
}

export class Modules {
  readonly byInode = new Map<Inode, Module>();
  readonly byName = new Map<string, Module>();
  readonly functions: ProfileFunction[] = [
    { name: '[other]', module: '' },
    { name: '[truncated]', module: '' },
  ];
  bytesLeft = BYTES_MAX;
}

/** A byte string of a guest as a line of text may contain it. `;` separates frames. */
export function printable(bytes: string): string {
  return Buffer.from(bytes, 'latin1')
    .toString('utf8')
    .replaceAll(';', ':')
    .replace(/[\p{C}\p{Z}]/gu, (c) => (c === ' ' ? c : '?'));
}

function newModule(name: string, elf: ElfFile | null): Module {
  const ehFrame = elf?.ehFrame ?? null;
  return {
    name: printable(name),
    elf,
    fdes: ehFrame === null ? null : parseEhFrame(ehFrame),
    places: new Map(),
    functions: new Map(),
  };
}

/** Reads a part of a file: an empty one where there is none, or when enough has been read. */
function readPart(modules: Modules, file: File, pos: number, bytes: number): Uint8Array {
  const inside = Math.min(bytes, file.inode.size - pos, modules.bytesLeft);
  if (!(pos >= 0 && inside > 0)) return new Uint8Array(0);
  const buffer = new Uint8Array(inside);
  const n = kernelRead(file, buffer, pos);
  modules.bytesLeft -= inside;
  return buffer.subarray(0, Math.max(n, 0));
}

/** The last part of a path, as a byte string. */
function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function fileModule(modules: Modules, file: File): Module {
  const known = modules.byInode.get(file.inode);
  if (known !== undefined) return known;
  const elf = readElfFile((pos, bytes) => readPart(modules, file, pos, bytes));
  const module = newModule(baseName(file.mapsName()), elf);
  modules.byInode.set(file.inode, module);
  return module;
}

/** What the code of a VMA belongs to. */
export function moduleOf(modules: Modules, vma: Vma): Module {
  const { file } = vma;
  if (file instanceof File && isReg(file.inode.mode)) return fileModule(modules, file);
  const name = vmaName(vma);
  const shown = name === '' ? '[anon]' : name;
  const known = modules.byName.get(shown);
  if (known !== undefined) return known;
  const module = newModule(shown, null);
  modules.byName.set(shown, module);
  return module;
}

/** The index of a function. */
export function functionOf(modules: Modules, module: Module, name: string): number {
  const known = module.functions.get(name);
  if (known !== undefined) return known;
  const fn = modules.functions.length;
  if (fn >= FUNCTIONS_MAX) return OTHER;
  modules.functions.push({ name, module: module.name });
  module.functions.set(name, fn);
  return fn;
}

/** A name for the code at `vaddr`: of its symbol, else of where it begins in its module. */
function nameAt(module: Module, elf: ElfFile, vaddr: number, start: number): string {
  const symbol = findSymbol(elf.symbols, vaddr);
  const name = symbol === null ? '' : printable(symbolName(symbol));
  return name === '' ? `${module.name}+0x${start.toString(16)}` : name;
}

function goPlace(modules: Modules, module: Module, go: GoFunction): Place {
  const fn = functionOf(modules, module, printable(go.name));
  return { fn, row: go.frameSize < 0 ? null : frameRow(go.frameSize, go.outermost) };
}

function findPlace(modules: Modules, module: Module, offset: number): Place {
  const { elf, fdes } = module;
  const vaddr = elf === null ? -1 : vaddrOfOffset(elf, offset);
  // Not told apart: code that is made by the program has a new address each time.
  if (elf === null || vaddr < 0) return { fn: functionOf(modules, module, module.name), row: null };
  const go = elf.go === null ? null : findGoFunction(elf.go, vaddr);
  if (go !== null) return goPlace(modules, module, go);
  const fde = fdes === null ? null : findFde(fdes, vaddr);
  const fn = functionOf(modules, module, nameAt(module, elf, vaddr, fde?.vaddr ?? vaddr));
  return { fn, row: fde === null ? null : rowAt(frameOf(module), fde, vaddr) };
}

/** The section that the rows of a module refer to. */
export function frameOf(module: Module): EhFrame {
  return module.fdes?.frame ?? NO_EH_FRAME;
}

/** What is known about an address in a VMA of the module. */
export function placeAt(modules: Modules, module: Module, vma: Vma, addr: number): Place {
  const offset = addr - vma.start + vma.pgoff * PAGE_SIZE;
  const known = module.places.get(offset);
  if (known !== undefined) return known;
  if (module.places.size >= PLACES_MAX) module.places.clear();
  const place = findPlace(modules, module, offset);
  module.places.set(offset, place);
  return place;
}
