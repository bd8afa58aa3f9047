/** Which handlers the interpreter has, and which one a decoded instruction gets. */

import * as fpOps from './fp_ops.ts';
import { INSN_TABLE } from './insn_table.ts';
import { FIRST_INSN_OP } from './slots.ts';

/** Bytes of an instruction in memory. */
export type InsnLength = 2 | 4;

/** One handler: an instruction of one length; `far` goes to targets on other pages. */
export interface Handler {
  readonly row: number;
  readonly length: InsnLength;
  readonly far: boolean;
}

/** Instructions with a compressed form. */
const COMPRESSIBLE = new Set(
  (
    'lui jal jalr beq bne lw ld sw sd addi andi slli srli srai add sub xor or and addiw addw ' +
    'subw ebreak fld fsd'
  ).split(' '),
);

function buildHandlers(): readonly Handler[] {
  const handlers: Handler[] = [];
  INSN_TABLE.forEach(({ name, format }, row) => {
    const lengths: readonly InsnLength[] = COMPRESSIBLE.has(name) ? [4, 2] : [4];
    for (const length of lengths) {
      handlers.push({ row, length, far: false });
      if (format === 'B' || format === 'J') handlers.push({ row, length, far: true });
    }
  });
  return handlers;
}

/** Handler number `FIRST_INSN_OP + i` runs HANDLERS[i]. */
export const HANDLERS: readonly Handler[] = buildHandlers();

/** Number of the handler of a row, indexed by row * 4 + (compressed) * 2 + (far). */
function buildNumbers(): Uint16Array {
  const numbers = new Uint16Array(INSN_TABLE.length * 4);
  HANDLERS.forEach(({ row, length, far }, i) => {
    numbers[row * 4 + (length === 2 ? 2 : 0) + (far ? 1 : 0)] = FIRST_INSN_OP + i;
  });
  return numbers;
}

const NUMBERS = buildNumbers();

export function handlerOf(row: number, length: InsnLength, far: boolean): number {
  return NUMBERS[row * 4 + (length === 2 ? 2 : 0) + (far ? 1 : 0)]!;
}

/** Soft-float operation of each row (fp_ops.ts), or -1. */
export const SOFT_FLOAT_OPS: readonly number[] = INSN_TABLE.map(({ name }) => {
  const constant = `FP_${name.toUpperCase().replaceAll('.', '_')}`;
  return (fpOps as Readonly<Record<string, number>>)[constant] ?? -1;
});
