/**
 * What a profile needs of a program or library: where its segments go, its call frame
 * information, and its symbols. Read once, when code of the file is first seen, so that the
 * file may be deleted later. The file is a guest's: what it says is not believed.
 *
 * @linux include/uapi/linux/elf.h
 */

import { Cursor, readCString } from '../../lib/cursor.ts';
import { getU64 } from '../../lib/bits.ts';
import {
  E_MACHINE,
  E_PHNUM,
  E_PHOFF,
  E_SHENTSIZE,
  E_SHNUM,
  E_SHOFF,
  E_SHSTRNDX,
  EHDR_BYTES,
  EI_CLASS,
  EI_DATA,
  ELF_MAGIC,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_RISCV,
  P_FILESZ,
  P_OFFSET,
  P_TYPE,
  P_VADDR,
  PHDR_BYTES,
  PT_GNU_EH_FRAME,
  PT_LOAD,
  SH_ADDR,
  SH_LINK,
  SH_NAME,
  SH_OFFSET,
  SH_SIZE,
  SH_TYPE,
  SHDR_BYTES,
  SHT_DYNSYM,
  SHT_NOBITS,
  SHT_SYMTAB,
} from '../../uapi/elf.ts';
import { readEncoded, type EhFrame } from './eh_frame.ts';
import { parseGoTable, type GoTable } from './go_pclntab.ts';
import { addPltSymbols, addSymbols, newSymbols, sortSymbols, type Symbols } from './symbols.ts';

/** Program and section headers looked at. */
const PHNUM_MAX = 256;
const SHNUM_MAX = 1024;
/** Largest section that is read: those of browsers are about that large. */
const SECTION_MAX = 128 * 1024 ** 2;
const NAME_MAX = 64;
/** .eh_frame_hdr: version, three encodings, then the address of .eh_frame. */
const EH_FRAME_HDR_POINTER = 4;

/** Bytes of a file: fewer than asked for where it ends. */
export type ReadFile = (pos: number, bytes: number) => Uint8Array;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly bytes: number;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly addr: number;
  readonly offset: number;
  readonly bytes: number;
  readonly link: number;
}

export interface ElfFile {
  readonly segments: readonly Segment[];
  /** null when it has none. */
  readonly ehFrame: EhFrame | null;
  readonly symbols: Symbols;
  /** null for all but Go's programs. */
  readonly go: GoTable | null;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The header, or null when the file is no 64-bit RISC-V program or library. */
function readHeader(read: ReadFile): DataView | null {
  const head = read(0, EHDR_BYTES);
  if (head.length < EHDR_BYTES) return null;
  const view = viewOf(head);
  if (view.getUint32(0, true) !== ELF_MAGIC || view.getUint16(E_MACHINE, true) !== EM_RISCV)
    return null;
  return head[EI_CLASS] === ELFCLASS64 && head[EI_DATA] === ELFDATA2LSB ? view : null;
}

function readSegments(read: ReadFile, head: DataView): Segment[] {
  const count = Math.min(head.getUint16(E_PHNUM, true), PHNUM_MAX);
  const view = viewOf(read(getU64(head, E_PHOFF), count * PHDR_BYTES));
  const segments: Segment[] = [];
  for (let at = 0; at + PHDR_BYTES <= view.byteLength; at += PHDR_BYTES) {
    segments.push({
      type: view.getUint32(at + P_TYPE, true),
      offset: getU64(view, at + P_OFFSET),
      vaddr: getU64(view, at + P_VADDR),
      bytes: getU64(view, at + P_FILESZ),
    });
  }
  return segments;
}

function readSections(read: ReadFile, head: DataView): Section[] {
  if (head.getUint16(E_SHENTSIZE, true) !== SHDR_BYTES) return [];
  const count = Math.min(head.getUint16(E_SHNUM, true), SHNUM_MAX);
  const view = viewOf(read(getU64(head, E_SHOFF), count * SHDR_BYTES));
  const nameAt = head.getUint16(E_SHSTRNDX, true) * SHDR_BYTES;
  if (nameAt + SHDR_BYTES > view.byteLength) return [];
  const namesBytes = Math.min(getU64(view, nameAt + SH_SIZE), SHNUM_MAX * NAME_MAX);
  const names = read(getU64(view, nameAt + SH_OFFSET), namesBytes);
  const sections: Section[] = [];
  for (let at = 0; at + SHDR_BYTES <= view.byteLength; at += SHDR_BYTES) {
    sections.push({
      name: readCString(new Cursor(names, view.getUint32(at + SH_NAME, true)), NAME_MAX),
      type: view.getUint32(at + SH_TYPE, true),
      addr: getU64(view, at + SH_ADDR),
      offset: getU64(view, at + SH_OFFSET),
      bytes: getU64(view, at + SH_SIZE),
      link: view.getUint32(at + SH_LINK, true),
    });
  }
  return sections;
}

function sectionBytes(read: ReadFile, section: Section | undefined): Uint8Array {
  if (section === undefined || section.type === SHT_NOBITS || section.bytes > SECTION_MAX)
    return new Uint8Array(0);
  return read(section.offset, section.bytes);
}

/** The section by way of its program header: a stripped file may have no section headers. */
function ehFrameOfSegment(read: ReadFile, segments: readonly Segment[]): EhFrame | null {
  const header = segments.find(({ type }) => type === PT_GNU_EH_FRAME);
  if (header === undefined) return null;
  const c = new Cursor(read(header.offset, EH_FRAME_HDR_POINTER + 8), EH_FRAME_HDR_POINTER);
  const vaddr = readEncoded(c, c.bytes[1] ?? 0, header.vaddr);
  const load = segments.find(
    (s) => s.type === PT_LOAD && vaddr >= s.vaddr && vaddr < s.vaddr + s.bytes,
  );
  if (c.bad || load === undefined) return null;
  const skipped = vaddr - load.vaddr;
  return { vaddr, bytes: read(load.offset + skipped, Math.min(load.bytes - skipped, SECTION_MAX)) };
}

function readEhFrame(
  read: ReadFile,
  segments: readonly Segment[],
  sections: readonly Section[],
): EhFrame | null {
  const section = sections.find(({ name }) => name === '.eh_frame');
  if (section === undefined) return ehFrameOfSegment(read, segments);
  return { vaddr: section.addr, bytes: sectionBytes(read, section) };
}

function readSymbols(read: ReadFile, sections: readonly Section[]): Symbols {
  const symbols = newSymbols();
  // A file has at most one of each, or the rest is there to waste time.
  for (const type of [SHT_SYMTAB, SHT_DYNSYM]) {
    const section = sections.find((s) => s.type === type);
    if (section === undefined) continue;
    const names = sectionBytes(read, sections[section.link]);
    const table = sectionBytes(read, section);
    addSymbols(symbols, table, names);
    if (type !== SHT_DYNSYM) continue;
    const plt = sections.find(({ name }) => name === '.plt');
    const rela = sections.find(({ name }) => name === '.rela.plt');
    if (plt !== undefined) addPltSymbols(symbols, plt, sectionBytes(read, rela), table, names);
  }
  sortSymbols(symbols);
  return symbols;
}

function readGoTable(read: ReadFile, sections: readonly Section[]): GoTable | null {
  const table = sections.find(({ name }) => name === '.gopclntab');
  const text = sections.find(({ name }) => name === '.text');
  return table === undefined ? null : parseGoTable(sectionBytes(read, table), text?.addr ?? 0);
}

/** @returns null when the file is no 64-bit RISC-V program or library. */
export function readElfFile(read: ReadFile): ElfFile | null {
  const head = readHeader(read);
  if (head === null) return null;
  const segments = readSegments(read, head);
  const sections = readSections(read, head);
  const ehFrame = readEhFrame(read, segments, sections);
  const go = readGoTable(read, sections);
  return { segments, ehFrame, symbols: readSymbols(read, sections), go };
}

/** The address that the byte at `offset` of the file is made for; -1 when no segment has it. */
export function vaddrOfOffset(elf: ElfFile, offset: number): number {
  for (const { type, offset: start, vaddr, bytes } of elf.segments) {
    if (type === PT_LOAD && offset >= start && offset < start + bytes)
      return vaddr + (offset - start);
  }
  return -1;
}
