/**
 * .eh_frame: which call frame information belongs to which code. All of a section is looked
 * through once, as its search table (.eh_frame_hdr) is one more thing that can be missing or
 * wrong. The section is a guest's: anything may stand in it.
 *
 *     record   | length | id or CIE pointer | ... | instructions |     id 0: a CIE, else an FDE
 *
 * @linux (Linux Standard Base, Core, 10.6: exception frames)
 */

import {
  Cursor,
  readCString,
  readS16,
  readS32,
  readS64,
  readSleb,
  readU16,
  readU32,
  readU64,
  readU8,
  readUleb,
  skip,
} from '../../lib/cursor.ts';

// DW_EH_PE_*: how a pointer is written. The low four bits are the format.
const DW_EH_PE_OMIT = 0xff;
const DW_EH_PE_FORMAT = 0x0f;
const DW_EH_PE_APPLICATION = 0x70;
const DW_EH_PE_PCREL = 0x10;
const DW_EH_PE_DATAREL = 0x30;

/** length of a record whose real length follows in 64 bits. */
const EXTENDED_LENGTH = 0xffff_ffff;
/** Longest augmentation string; compilers write four letters. */
const AUGMENTATION_MAX = 16;
/** Registers that are kept: the integer ones, and the column some return addresses are in. */
export const CFI_REGISTERS = 65;

/** The section and the address it is made for. */
export interface EhFrame {
  readonly vaddr: number;
  readonly bytes: Uint8Array;
}

/** What several FDEs have in common. */
export interface Cie {
  readonly codeAlign: number;
  readonly dataAlign: number;
  /** Register that holds the return address. */
  readonly raRegister: number;
  /** DW_EH_PE_* of addresses of code. */
  readonly pointerEncoding: number;
  /** FDEs have augmentation data. */
  readonly augmented: boolean;
  /** Its code is the return from a signal handler. */
  readonly signalFrame: boolean;
  /** Instructions, as offsets in the section. */
  readonly start: number;
  readonly end: number;
}

/** The code one FDE is about, [vaddr, vaddr + size), and its instructions. */
export interface Fde {
  readonly cie: Cie;
  readonly vaddr: number;
  readonly size: number;
  readonly start: number;
  readonly end: number;
}

/** All FDEs of a section, by address. */
export interface FdeTable {
  readonly frame: EhFrame;
  readonly fdes: readonly Fde[];
}

function readFormat(c: Cursor, format: number): number {
  switch (format) {
    case 0x00:
    case 0x04:
      return readU64(c);
    case 0x01:
      return readUleb(c);
    case 0x02:
      return readU16(c);
    case 0x03:
      return readU32(c);
    case 0x09:
      return readSleb(c);
    case 0x0a:
      return readS16(c);
    case 0x0b:
      return readS32(c);
    case 0x0c:
      return readS64(c);
    default:
      c.bad = true;
      return 0;
  }
}

/** Reads a pointer. @param vaddr address of the first byte that `c` can read. */
export function readEncoded(c: Cursor, encoding: number, vaddr: number): number {
  const at = vaddr + c.pos;
  const value = readFormat(c, encoding & DW_EH_PE_FORMAT);
  switch (encoding & DW_EH_PE_APPLICATION) {
    case 0:
      return value;
    case DW_EH_PE_PCREL:
      return at + value;
    case DW_EH_PE_DATAREL:
      return vaddr + value;
    default:
      c.bad = true;
      return 0;
  }
}

/** The part of augmentation data that says how FDEs are written. @returns the encoding, or -1. */
function pointerEncodingOf(c: Cursor, augmentation: string): number {
  let encoding = 0;
  for (const letter of augmentation.slice(1)) {
    if (letter === 'R') encoding = readU8(c);
    else if (letter === 'L') skip(c, 1);
    else if (letter === 'P') readFormat(c, readU8(c) & DW_EH_PE_FORMAT);
    else if (letter !== 'S' && letter !== 'B' && letter !== 'G') return -1;
  }
  return c.bad || encoding === DW_EH_PE_OMIT ? -1 : encoding;
}

/** @param c behind the id of the record, and ending with it. */
function parseCie(c: Cursor): Cie | null {
  const version = readU8(c);
  if (version !== 1 && version !== 3 && version !== 4) return null;
  const augmentation = readCString(c, AUGMENTATION_MAX);
  // Sizes of an address and of a segment selector.
  if (version === 4) skip(c, 2);
  const codeAlign = readUleb(c);
  const dataAlign = readSleb(c);
  const raRegister = version === 1 ? readU8(c) : readUleb(c);
  const augmented = augmentation.startsWith('z');
  if (augmentation !== '' && !augmented) return null;
  let pointerEncoding = 0;
  if (augmented) {
    const bytes = readUleb(c);
    const behind = c.pos + bytes;
    pointerEncoding = pointerEncodingOf(c, augmentation);
    c.pos = behind;
  }
  if (c.bad || pointerEncoding < 0 || c.pos > c.end || raRegister >= CFI_REGISTERS) return null;
  const signalFrame = augmentation.includes('S');
  const { pos: start, end } = c;
  return {
    codeAlign,
    dataAlign,
    raRegister,
    pointerEncoding,
    augmented,
    signalFrame,
    start,
    end,
  };
}

/** The CIE at an offset of the section; each is parsed once. */
function cieAt(frame: EhFrame, at: number, known: Map<number, Cie | null>): Cie | null {
  const found = known.get(at);
  if (found !== undefined) return found;
  const c = new Cursor(frame.bytes, at);
  const record = readRecord(c);
  const cie = record && readU32(c) === 0 ? parseCie(c) : null;
  known.set(at, cie);
  return cie;
}

/** Reads the length of a record and ends the cursor with it. @returns false at the end of the section, or when it is broken. */
function readRecord(c: Cursor): boolean {
  let length = readU32(c);
  if (length === EXTENDED_LENGTH) length = readU64(c);
  if (c.bad || length < 4 || c.pos + length > c.end) return false;
  c.end = c.pos + length;
  return true;
}

/** @param c behind the CIE pointer. */
function parseFde(frame: EhFrame, c: Cursor, cie: Cie): Fde | null {
  const vaddr = readEncoded(c, cie.pointerEncoding, frame.vaddr);
  const size = readFormat(c, cie.pointerEncoding & DW_EH_PE_FORMAT);
  if (cie.augmented) skip(c, readUleb(c));
  if (c.bad || size <= 0) return null;
  return { cie, vaddr, size, start: c.pos, end: c.end };
}

/** Finds all FDEs of a section. What is broken is left out. */
export function parseEhFrame(frame: EhFrame): FdeTable {
  const fdes: Fde[] = [];
  const known = new Map<number, Cie | null>();
  for (let pos = 0; ; ) {
    const c = new Cursor(frame.bytes, pos);
    if (!readRecord(c)) break;
    pos = c.end;
    const here = c.pos;
    const pointer = readU32(c);
    if (pointer === 0) continue;
    const cie = pointer > here ? null : cieAt(frame, here - pointer, known);
    const fde = cie === null ? null : parseFde(frame, c, cie);
    if (fde !== null) fdes.push(fde);
  }
  fdes.sort((a, b) => a.vaddr - b.vaddr);
  return { frame, fdes };
}

/** The FDE of the code at `vaddr`, or null. */
export function findFde(table: FdeTable, vaddr: number): Fde | null {
  const { fdes } = table;
  let low = 0;
  let high = fdes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fdes[middle]!.vaddr <= vaddr) low = middle + 1;
    else high = middle;
  }
  const fde = fdes[low - 1];
  return fde !== undefined && vaddr - fde.vaddr < fde.size ? fde : null;
}
