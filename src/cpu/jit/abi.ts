/**
 * How the interpreter and compiled regions meet.
 *
 * A region is one wasm function in the table; it can be entered at the slots whose operation is
 * OP_REGION + n, and entry n says which function, at which of its labels, and what operation the
 * slot had before:
 *
 *      0              2           4               6          8
 *     | function u16 | label u16 | operation u16 | page i16 |
 *
 * region(base, label, fuel) -> (pc, fuel): base is the address of the region's first page, `page`
 * pages before that of the entry; fuel is the budget. The result's
 * pc is where to go on, with whatever code is there. REGION_SPECIAL in it means something else,
 * by the `trap` global: > 0, that trap happened at pc; 0, the instruction at pc is one for the
 * interpreter; REGION_NO_STOP, go on at pc, which is no place for a run to stop.
 */

import { I32, I64 } from '../wasm_encoder.ts';

export const ENTRY_FUNCTION = 0;
export const ENTRY_LABEL = 2;
export const ENTRY_OP = 4;
export const ENTRY_PAGE = 6;

export const REGION_PARAMS = [I64, I32, I32] as const;
export const REGION_RESULTS = [I64, I32] as const;

/** Operation, rd, rs1, rs2, rs3, rounding mode. */
export const SOFT_FLOAT_PARAMS = [I32, I32, I32, I32, I32, I32] as const;

export const REGION_SPECIAL = 1;
export const REGION_NO_STOP = -1;

/** Exports of the interpreter's module that regions import. */
export const EXPORT_TRAP = 'trap';
export const EXPORT_STALE = 'stale';
/** Tail-called with what a region would return at a place where a run may stop; and where not. */
export const EXPORT_CHAIN = 'chain';
export const EXPORT_CHAIN_NO_STOP = 'chainNoStop';
export const EXPORT_SOFT_FLOAT = 'runSoftFloat';
export const EXPORT_ATOMIC = 'atomicOffset';
