/**
 * .gopclntab: names and frame sizes of Go's functions. Go's programs have no call frame
 * information that is loaded, but this table, which their own runtime walks stacks by, is
 * there in stripped ones, too. Format of Go 1.18 and later.
 *
 *     header    | magic | 0 0 quantum 8 | functions | files | text | names | . | . | pctab | functab |
 *     functab   | entry, function | entry, function | ... |    in order of entry, 32 bits each
 *     function  | entry | name | . | . | pcsp | ...            offsets, 32 bits each
 *     pcsp      | change of frame size, code bytes / quantum | ... | 0     LEB128
 */

import { Cursor, readCString, readU32, readU64, readU8, readUleb, skip } from '../../lib/cursor.ts';

/** The first has `text` where later ones may have 0; the rest is the same. */
const MAGIC_GO_1_18 = 0xffff_fff0;
const MAGIC_GO_1_20 = 0xffff_fff1;
const FUNCTAB_ENTRY = 8;
const FUNC_NAME = 4;
const FUNC_PCSP = 16;
const NAME_MAX = 4096;
/** Changes of one function's frame size that are looked at. */
const CHANGES_MAX = 1 << 16;

/** Where the stack of a thread or goroutine begins, and what continues on another stack. */
const OUTERMOST: ReadonlySet<string> = new Set([
  'runtime.goexit',
  'runtime.mstart',
  'runtime.rt0_go',
  'runtime.systemstack',
  'runtime.mcall',
  'runtime.morestack',
]);

export interface GoTable {
  readonly bytes: Uint8Array;
  /** Bytes that code offsets are counted in. */
  readonly quantum: number;
  readonly functions: number;
  /** What entries are relative to. */
  readonly text: number;
  /** Offsets of the parts in the section. */
  readonly names: number;
  readonly pctab: number;
  readonly functab: number;
}

/** A function and what it has on the stack at one place. */
export interface GoFunction {
  readonly vaddr: number;
  readonly name: string;
  /** Bytes between sp and the caller's sp; 0 while the return address is in ra only. Below 0: not known. */
  readonly frameSize: number;
  readonly outermost: boolean;
}

/** @param text address of .text. @returns null when this is no such table. */
export function parseGoTable(bytes: Uint8Array, text: number): GoTable | null {
  const c = new Cursor(bytes);
  const magic = readU32(c);
  skip(c, 2);
  const quantum = readU8(c);
  const pointer = readU8(c);
  const functions = readU64(c);
  readU64(c);
  const textStart = readU64(c);
  const names = readU64(c);
  skip(c, 16);
  const pctab = readU64(c);
  const functab = readU64(c);
  if (c.bad || pointer !== 8 || (magic !== MAGIC_GO_1_18 && magic !== MAGIC_GO_1_20)) return null;
  if (functab + functions * FUNCTAB_ENTRY > bytes.length) return null;
  return { bytes, quantum, functions, text: textStart || text, names, pctab, functab };
}

function u32At(table: GoTable, at: number): number {
  return readU32(new Cursor(table.bytes, at));
}

/** The frame size at `offset` of a function, from its changes at `at`; -1 when it is not known. */
function frameSizeAt(table: GoTable, at: number, offset: number): number {
  const c = new Cursor(table.bytes, at);
  let size = -1;
  let end = 0;
  for (let n = 0; n < CHANGES_MAX; n++) {
    const change = readUleb(c);
    if (c.bad || (change === 0 && n > 0)) return -1;
    size += change % 2 === 0 ? change / 2 : -(change + 1) / 2;
    end += readUleb(c) * table.quantum;
    if (offset < end) return c.bad ? -1 : size;
  }
  return -1;
}

/** The function at `vaddr`, or null. */
export function findGoFunction(table: GoTable, vaddr: number): GoFunction | null {
  const { functab, text } = table;
  let low = 0;
  let high = table.functions;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (text + u32At(table, functab + middle * FUNCTAB_ENTRY) <= vaddr) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return null;
  const entry = new Cursor(table.bytes, functab + (low - 1) * FUNCTAB_ENTRY);
  const start = text + readU32(entry);
  const func = functab + readU32(entry);
  const nameAt = table.names + u32At(table, func + FUNC_NAME);
  const name = readCString(new Cursor(table.bytes, nameAt), NAME_MAX);
  if (name === '') return null;
  const pcsp = u32At(table, func + FUNC_PCSP);
  // 0: it has no frame at all.
  const frameSize = pcsp === 0 ? 0 : frameSizeAt(table, table.pctab + pcsp, vaddr - start);
  return {
    vaddr: start,
    name,
    frameSize,
    outermost: OUTERMOST.has(name) || name.startsWith('_rt0_'),
  };
}
