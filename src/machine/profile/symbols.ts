/** Functions of a program by address, from its symbol tables. @linux include/uapi/linux/elf.h:elf64_sym */

import { getU64 } from '../../lib/bits.ts';
import { Cursor, readCString } from '../../lib/cursor.ts';
import {
  R_INFO_SYM,
  RELA_BYTES,
  SHN_UNDEF,
  ST_INFO,
  ST_NAME,
  ST_SHNDX,
  ST_SIZE,
  ST_VALUE,
  STB_LOCAL,
  STT_FUNC,
  STT_GNU_IFUNC,
  STT_NOTYPE,
  SYM_BYTES,
} from '../../uapi/elf.ts';

/** Bytes of the stub that all others go through, and of each of these. (psABI, 8.4: procedure linkage table) */
const RISCV_PLT_HEADER = 32;
const RISCV_PLT_ENTRY = 16;
/** Longest name: C++ templates make them long, hostile programs longer. */
const SYMBOL_NAME_MAX = 4096;
const UNDERSCORE = 0x5f;
const DOLLAR = 0x24;
const DOT = 0x2e;
/** Symbols looked at for one that covers an address. */
const NESTED_MAX = 8;

/** One function. `table` and `at` say where its name is: most names are never asked for. */
interface Symbol {
  readonly vaddr: number;
  /** 0 when the table does not say: it ends where the next one begins. */
  readonly size: number;
  readonly names: Uint8Array;
  readonly at: number;
  /** What is put behind the name. */
  readonly suffix: string;
  /** Of several at one address the one with the least rank is shown. */
  readonly rank: number;
}

/** Sorted by address, one symbol an address. */
export interface Symbols {
  list: Symbol[];
}

export function newSymbols(): Symbols {
  return { list: [] };
}

/** Functions before labels, those with a size first, then global ones, then `memcmp` before `__memcmpeq`. */
function rankOf(type: number, size: number, binding: number, first: number): number {
  const kind = (type === STT_NOTYPE ? 8 : 0) + (size === 0 ? 4 : 0);
  return kind + (binding === STB_LOCAL ? 2 : 0) + (first === UNDERSCORE ? 1 : 0);
}

/** Labels that assemblers make for themselves: `$x`, `.L12`. */
function isLocalLabel(names: Uint8Array, at: number): boolean {
  const first = names[at];
  return first === undefined || first === 0 || first === DOLLAR || first === DOT;
}

/** Adds the functions of .symtab or .dynsym. */
export function addSymbols(symbols: Symbols, table: Uint8Array, names: Uint8Array): void {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  for (let at = 0; at + SYM_BYTES <= table.length; at += SYM_BYTES) {
    const info = table[at + ST_INFO]!;
    const type = info & 0xf;
    if (type !== STT_FUNC && type !== STT_NOTYPE && type !== STT_GNU_IFUNC) continue;
    if (view.getUint16(at + ST_SHNDX, true) === SHN_UNDEF) continue;
    const name = view.getUint32(at + ST_NAME, true);
    if (isLocalLabel(names, name)) continue;
    const size = getU64(view, at + ST_SIZE);
    const vaddr = getU64(view, at + ST_VALUE);
    const rank = rankOf(type, size, info >> 4, names[name]!);
    symbols.list.push({ vaddr, size, names, at: name, suffix: '', rank });
  }
}

/** Adds NAME@plt for each stub of .plt, which has one for each row of .rela.plt, in order. */
export function addPltSymbols(
  symbols: Symbols,
  plt: { readonly addr: number; readonly bytes: number },
  rela: Uint8Array,
  dynsym: Uint8Array,
  names: Uint8Array,
): void {
  const view = new DataView(rela.buffer, rela.byteOffset, rela.length);
  const table = new DataView(dynsym.buffer, dynsym.byteOffset, dynsym.length);
  const room = (plt.bytes - RISCV_PLT_HEADER) / RISCV_PLT_ENTRY;
  const stubs = Math.min(Math.floor(rela.length / RELA_BYTES), room);
  for (let i = 0; i < stubs; i++) {
    const sym = view.getUint32(i * RELA_BYTES + R_INFO_SYM, true) * SYM_BYTES;
    if (sym === 0 || sym + SYM_BYTES > dynsym.length) continue;
    const at = table.getUint32(sym + ST_NAME, true);
    const vaddr = plt.addr + RISCV_PLT_HEADER + i * RISCV_PLT_ENTRY;
    symbols.list.push({ vaddr, size: RISCV_PLT_ENTRY, names, at, suffix: '@plt', rank: 0 });
  }
}

/** To be called once all are there. */
export function sortSymbols(symbols: Symbols): void {
  const { list } = symbols;
  list.sort((a, b) => a.vaddr - b.vaddr || a.rank - b.rank);
  symbols.list = list.filter((symbol, i) => i === 0 || list[i - 1]!.vaddr !== symbol.vaddr);
}

/** The symbol that covers `vaddr`, or null. */
export function findSymbol(symbols: Symbols, vaddr: number): Symbol | null {
  const { list } = symbols;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.vaddr <= vaddr) low = middle + 1;
    else high = middle;
  }
  // A short one may lie within a long one.
  for (let i = low - 1; i >= Math.max(0, low - NESTED_MAX); i--) {
    const symbol = list[i]!;
    if (symbol.size === 0 || vaddr - symbol.vaddr < symbol.size) return symbol;
  }
  return null;
}

/** The name as a byte string; '' when the table has none. */
export function symbolName(symbol: Symbol): string {
  const name = readCString(new Cursor(symbol.names, symbol.at), SYMBOL_NAME_MAX);
  return name === '' ? '' : name + symbol.suffix;
}
