/** Random instructions of F and D: every operation, every rounding mode, and where the flags go. */

import * as asm from './assembler.ts';
import { type Context, fName, xName } from './context.ts';

const FFLAGS = 1;
const FRM = 2;

const MODES = ['rne', 'rtz', 'rdn', 'rup', 'rmm', '', '', 'dyn'];

/** Name, funct5, and funct3 where it is not a rounding mode (else -1). */
const ARITHMETIC: readonly (readonly [string, number, number])[] = [
  ['fadd', 0x00, -1],
  ['fsub', 0x01, -1],
  ['fmul', 0x02, -1],
  ['fdiv', 0x03, -1],
  ['fadd', 0x00, -1],
  ['fmul', 0x02, -1],
  ['fsgnj', 0x04, 0],
  ['fsgnjn', 0x04, 1],
  ['fsgnjx', 0x04, 2],
  ['fmin', 0x05, 0],
  ['fmax', 0x05, 1],
];

const COMPARISONS: readonly (readonly [string, number])[] = [
  ['fle', 0],
  ['flt', 1],
  ['feq', 2],
];

const FUSED: readonly (readonly [string, number])[] = [
  ['fmadd', 0x43],
  ['fmsub', 0x47],
  ['fnmsub', 0x4b],
  ['fnmadd', 0x4f],
];

const INTEGERS = ['w', 'wu', 'l', 'lu'];

/** 0 for single, 1 for double: the fmt field, and what else depends on it. */
export type Format = 0 | 1;

function letter(format: Format): string {
  return format === 0 ? 's' : 'd';
}

function roundingMode(c: Context): number {
  return c.dynamicModes && c.r.oneIn(4) ? 7 : c.r.below(5);
}

function opFp(
  f5: number,
  format: number,
  rd: number,
  f3: number,
  rs1: number,
  rs2: number,
): number {
  return asm.r(asm.OP_FP, f3, (f5 << 2) | format, rd, rs1, rs2);
}

function arithmetic(c: Context, format: Format): void {
  const [name, f5, f3] = c.r.pick(ARITHMETIC);
  const rm = f3 >= 0 ? f3 : roundingMode(c);
  const [rd, rs1, rs2] = [c.freshF(), c.f(), c.f()];
  const mode = f3 >= 0 ? '' : `, ${MODES[rm]}`;
  const text = `${name}.${letter(format)} ${fName(rd)}, ${fName(rs1)}, ${fName(rs2)}${mode}`;
  c.emit(asm.insn(opFp(f5, format, rd, rm, rs1, rs2), text));
}

function squareRoot(c: Context, format: Format): void {
  const rm = roundingMode(c);
  const [rd, rs1] = [c.freshF(), c.f()];
  const text = `fsqrt.${letter(format)} ${fName(rd)}, ${fName(rs1)}, ${MODES[rm]}`;
  c.emit(asm.insn(opFp(0x0b, format, rd, rm, rs1, 0), text));
}

function fused(c: Context, format: Format): void {
  const [name, op] = c.r.pick(FUSED);
  const rm = roundingMode(c);
  const [rd, rs1, rs2, rs3] = [c.freshF(), c.f(), c.f(), c.f()];
  const operands = [rd, rs1, rs2, rs3].map(fName).join(', ');
  const text = `${name}.${letter(format)} ${operands}, ${MODES[rm]}`;
  c.emit(asm.insn(asm.r(op, rm, (rs3 << 2) | format, rd, rs1, rs2), text));
}

function comparison(c: Context, format: Format): void {
  const [rd, rs1] = [c.freshX(), c.f()];
  if (c.r.oneIn(4)) {
    const text = `fclass.${letter(format)} ${xName(rd)}, ${fName(rs1)}`;
    c.emit(asm.insn(opFp(0x1c, format, rd, 1, rs1, 0), text));
    return;
  }
  const [name, f3] = c.r.pick(COMPARISONS);
  const rs2 = c.f();
  const text = `${name}.${letter(format)} ${xName(rd)}, ${fName(rs1)}, ${fName(rs2)}`;
  c.emit(asm.insn(opFp(0x14, format, rd, f3, rs1, rs2), text));
}

function toInteger(c: Context, format: Format): void {
  const type = c.r.below(4);
  const rm = roundingMode(c);
  const [rd, rs1] = [c.r.oneIn(16) ? 0 : c.freshX(), c.f()];
  const text = `fcvt.${INTEGERS[type]}.${letter(format)} ${xName(rd)}, ${fName(rs1)}, ${MODES[rm]}`;
  c.emit(asm.insn(opFp(0x18, format, rd, rm, rs1, type), text));
}

function fromInteger(c: Context, format: Format): void {
  const type = c.r.below(4);
  const rm = roundingMode(c);
  const [rd, rs1] = [c.freshF(), c.rs()];
  const text = `fcvt.${letter(format)}.${INTEGERS[type]} ${fName(rd)}, ${xName(rs1)}, ${MODES[rm]}`;
  c.emit(asm.insn(opFp(0x1a, format, rd, rm, rs1, type), text));
}

/** FCVT.S.D or FCVT.D.S: both belong to D. */
function betweenFormats(c: Context): void {
  const to = c.r.below(2);
  const rm = to === 0 ? roundingMode(c) : 0;
  const [rd, rs1] = [c.freshF(), c.f()];
  const name = to === 0 ? 'fcvt.s.d' : 'fcvt.d.s';
  const mode = to === 0 ? `, ${MODES[rm]}` : '';
  const text = `${name} ${fName(rd)}, ${fName(rs1)}${mode}`;
  c.emit(asm.insn(opFp(0x08, to, rd, rm, rs1, 1 - to), text));
}

function move(c: Context, format: Format): void {
  const width = format === 0 ? 'w' : 'd';
  if (c.r.oneIn(2)) {
    const [rd, rs1] = [c.freshX(), c.f()];
    const text = `fmv.x.${width} ${xName(rd)}, ${fName(rs1)}`;
    c.emit(asm.insn(opFp(0x1c, format, rd, 0, rs1, 0), text));
    return;
  }
  const [rd, rs1] = [c.freshF(), c.rs()];
  const text = `fmv.${width}.x ${fName(rd)}, ${xName(rs1)}`;
  c.emit(asm.insn(opFp(0x1e, format, rd, 0, rs1, 0), text));
}

function loadStore(c: Context, format: Format): void {
  const { base, offset } = c.place(format === 0 ? 4 : 8);
  const width = format === 0 ? 'w' : 'd';
  if (c.r.oneIn(2)) {
    const rd = c.freshF();
    const text = `fl${width} ${fName(rd)}, ${offset}(${xName(base)})`;
    c.emit(asm.insn(asm.i(asm.OP_LOAD_FP, 2 + format, rd, base, offset), text));
    return;
  }
  const rs2 = c.f();
  const text = `fs${width} ${fName(rs2)}, ${offset}(${xName(base)})`;
  c.emit(asm.insn(asm.s(asm.OP_STORE_FP, 2 + format, base, rs2, offset), text));
}

/** Takes the flags of the instructions so far into a register, and clears them or sets others. */
export function takeFlags(c: Context): void {
  const rd = c.freshX();
  const flags = c.r.oneIn(3) ? c.r.below(32) : 0;
  const text = `fsflagsi ${xName(rd)}, ${flags}`;
  c.emit(asm.insn(asm.i(asm.OP_SYSTEM, 5, rd, flags, FFLAGS), text));
}

/** Changes the dynamic rounding mode to a valid one. */
export function setMode(c: Context): void {
  const rm = c.r.below(5);
  c.emit(asm.insn(asm.i(asm.OP_SYSTEM, 5, 0, rm, FRM), `fsrmi ${MODES[rm]}`));
}

/** One instruction of F (format 0) or D (format 1). */
export function float(c: Context, format: Format): void {
  const n = c.r.below(100);
  if (n < 34) arithmetic(c, format);
  else if (n < 40) squareRoot(c, format);
  else if (n < 60) fused(c, format);
  else if (n < 68) comparison(c, format);
  else if (n < 78) toInteger(c, format);
  else if (n < 84) fromInteger(c, format);
  else if (n < 90 && format === 1) betweenFormats(c);
  else if (n < 94) move(c, format);
  else loadStore(c, format);
}
