/**
 * Every computing instruction of F and D, in every rounding mode, static and dynamic, on all
 * combinations of corner values: nothing random.
 */

import * as asm from './assembler.ts';
import { fName, xName } from './context.ts';
import { type Program, RECORD_BYTES, type Run, recordViews } from './image.ts';

type Format = 0 | 1;

const S = new Float32Array(1);
const S_BITS = new Int32Array(S.buffer);
const D = new Float64Array(1);
const D_BITS = new BigInt64Array(D.buffer);

function single(value: number): bigint {
  S[0] = value;
  return boxed(S_BITS[0]!);
}

function boxed(bits: number): bigint {
  return BigInt.asIntN(64, (0xffffffffn << 32n) | BigInt(bits >>> 0));
}

function double(value: number): bigint {
  D[0] = value;
  return D_BITS[0]!;
}

/** Numbers that matter in a format with `bits` of precision and these ends. */
function numbers(bits: number, least: number, largest: number): number[] {
  const ulp = 2 ** (1 - bits);
  const leastSubnormal = least * ulp;
  return [
    ...[0, -0, leastSubnormal, -(least - leastSubnormal), least, -1, 1, 1 + ulp, 1 - ulp / 2],
    ...[-0.5, 2.5, -3, largest, -largest, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    ...[
      2 ** 31 - 0.5,
      -(2 ** 31) - 1,
      2 ** 32 * (1 - ulp),
      2 ** 63,
      -(2 ** 63),
      2 ** 64 * (1 - ulp),
    ],
  ];
}

const SINGLES: readonly bigint[] = [
  ...numbers(24, 2 ** -126, 3.4028234663852886e38).map(single),
  // Quiet, signalling, and not boxed.
  boxed(0xffc12345),
  boxed(0x7f800001),
  0x3f800000n,
];

const DOUBLES: readonly bigint[] = [
  ...numbers(53, 2 ** -1022, Number.MAX_VALUE).map(double),
  BigInt.asIntN(64, 0xfff8000000012345n),
  0x7ff0000000000001n,
  // The largest double below the least normal single, and one that rounds up to the next power.
  double(2 ** -126 * (1 - 2 ** -53)),
  double(3.4028235677973366e38),
];

/** Where three operands meet, fewer of each do. */
const FUSED_CORNERS = [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 22, 23];

const INTEGERS: readonly bigint[] = [
  ...[0n, 1n, -1n, 0x7fffffffn, 0x80000000n, 0xffffffffn, -0x80000000n, 0x1000001n, 0x1ffffffn],
  ...[2n ** 53n, 2n ** 53n + 1n, 2n ** 54n - 1n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 63n) + 1n],
  ...[-(2n ** 53n) - 1n, -0x1000001n, 0x5555555555555555n, -1024n, 2n ** 40n + 1n],
];

/** Operands that one program takes of the list of the second one. */
const LANES = 8;
const FIRST = 0;
const SECOND = 8;
const THIRD = 16;
const RESULT = 20;
const RESERVED = 31;
const FFLAGS = 1;
const MODE_NAMES = ['rne', 'rtz', 'rdn', 'rup', 'rmm'];
const DYNAMIC = 7;

/** What a program's instructions have in common; `lane` is 0..7. */
type Encode = (rm: number, lane: number) => asm.Insn;

interface Case {
  readonly encode: Encode;
  /** Values of the first, second (by lane) and third operand. */
  readonly first: readonly bigint[];
  readonly second: readonly bigint[];
  readonly third: readonly bigint[];
  readonly modes: boolean;
  /** The second operand is in an x register. */
  readonly fromX?: boolean;
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

function modeName(rm: number): string {
  return MODE_NAMES[rm] ?? 'dyn';
}

const NONE: readonly bigint[] = [0n];

function letter(format: Format): string {
  return format === 0 ? 's' : 'd';
}

/** FADD to FMAX, comparisons: two operands. */
function binaryCases(format: Format, corners: readonly bigint[]): Case[] {
  const rows: readonly (readonly [string, number, number, boolean])[] = [
    ['fadd', 0x00, -1, false],
    ['fsub', 0x01, -1, false],
    ['fmul', 0x02, -1, false],
    ['fdiv', 0x03, -1, false],
    ['fmin', 0x05, 0, false],
    ['fmax', 0x05, 1, false],
    ['fle', 0x14, 0, true],
    ['flt', 0x14, 1, true],
    ['feq', 0x14, 2, true],
  ];
  return rows.map(([name, f5, f3, toX]) => ({
    first: corners,
    second: corners,
    third: NONE,
    modes: f3 < 0,
    encode: (rm, lane) => {
      const rd = toX ? SECOND + lane : RESULT + lane;
      const word = opFp(f5, format, rd, f3 < 0 ? rm : f3, FIRST, SECOND + lane);
      const mode = f3 < 0 ? `, ${modeName(rm)}` : '';
      const names = `${toX ? xName(rd) : fName(rd)}, ${fName(FIRST)}, ${fName(SECOND + lane)}`;
      return asm.insn(word, `${name}.${letter(format)} ${names}${mode}`);
    },
  }));
}

function fusedCases(format: Format, corners: readonly bigint[]): Case[] {
  const few = FUSED_CORNERS.map((n) => corners[n]!);
  const rows = [
    ['fmadd', 0x43],
    ['fmsub', 0x47],
    ['fnmsub', 0x4b],
    ['fnmadd', 0x4f],
  ] as const;
  return rows.map(([name, op]) => ({
    first: few,
    second: few,
    third: few,
    modes: true,
    encode: (rm, lane) => {
      const rd = RESULT + lane;
      const word = asm.r(op, rm, (THIRD << 2) | format, rd, FIRST, SECOND + lane);
      const names = [rd, FIRST, SECOND + lane, THIRD].map(fName).join(', ');
      return asm.insn(word, `${name}.${letter(format)} ${names}, ${modeName(rm)}`);
    },
  }));
}

/** One operand, in an f register: name, funct5, rs2 field, format field, destination in x. */
function unaryCases(format: Format, corners: readonly bigint[]): Case[] {
  const d = letter(format);
  const rows: [string, number, number, number, boolean][] = [
    [`fsqrt.${d}`, 0x0b, 0, format, false],
    [`fcvt.w.${d}`, 0x18, 0, format, true],
    [`fcvt.wu.${d}`, 0x18, 1, format, true],
    [`fcvt.l.${d}`, 0x18, 2, format, true],
    [`fcvt.lu.${d}`, 0x18, 3, format, true],
    format === 0 ? ['fcvt.d.s', 0x08, 0, 1, false] : ['fcvt.s.d', 0x08, 1, 0, false],
  ];
  return rows.map(([name, f5, rs2, field, toX]) => ({
    first: NONE,
    second: corners,
    third: NONE,
    modes: true,
    encode: (rm, lane) => {
      const rd = toX ? SECOND + lane : RESULT + lane;
      const word = opFp(f5, field, rd, rm, SECOND + lane, rs2);
      const names = `${toX ? xName(rd) : fName(rd)}, ${fName(SECOND + lane)}`;
      return asm.insn(word, `${name} ${names}, ${modeName(rm)}`);
    },
  }));
}

function fromIntegerCases(format: Format): Case[] {
  return ['w', 'wu', 'l', 'lu'].map((type, rs2) => ({
    first: NONE,
    second: INTEGERS,
    third: NONE,
    modes: true,
    fromX: true,
    encode: (rm, lane) => {
      const rd = RESULT + lane;
      const word = opFp(0x1a, format, rd, rm, SECOND + lane, rs2);
      const names = `${fName(rd)}, ${xName(SECOND + lane)}`;
      return asm.insn(word, `fcvt.${letter(format)}.${type} ${names}, ${modeName(rm)}`);
    },
  }));
}

function programOf(c: Case, rm: number): Program {
  const insns: asm.Insn[] = [];
  for (let lane = 0; lane < LANES; lane++) {
    insns.push(c.encode(rm, lane));
    const rd = RESULT + lane;
    const word = asm.i(asm.OP_SYSTEM, 5, rd, 0, FFLAGS);
    insns.push(asm.insn(word, `fsflagsi ${xName(rd)}, 0`));
  }
  return { insns, reserved: RESERVED };
}

function recordOf(c: Case, first: bigint, from: number, third: bigint, frm: number): Uint8Array {
  const record = new Uint8Array(RECORD_BYTES);
  const { doubles, x, fcsr } = recordViews(record);
  const f = new BigInt64Array(doubles.buffer, doubles.byteOffset, 32);
  const integers = new BigInt64Array(x.buffer, x.byteOffset, 32);
  f[FIRST] = first;
  f[THIRD] = third;
  for (let lane = 0; lane < LANES; lane++) {
    const value = c.second[(from + lane) % c.second.length]!;
    if (c.fromX === true) integers[SECOND + lane] = value;
    else f[SECOND + lane] = value;
  }
  fcsr[0] = frm << 5;
  return record;
}

/** The mode field of the instruction, and frm: static modes under another frm, dynamic ones. */
function modesOf(c: Case): [number, number][] {
  if (!c.modes) return [[0, 0]];
  const modes = [0, 1, 2, 3, 4];
  return [
    ...modes.map((rm): [number, number] => [rm, (rm + 1) % 5]),
    ...modes.map((frm): [number, number] => [DYNAMIC, frm]),
  ];
}

function* runsOf(c: Case): Generator<Run> {
  const programs = new Map<number, Program>();
  for (const [rm, frm] of modesOf(c)) {
    const program = programs.get(rm) ?? programOf(c, rm);
    programs.set(rm, program);
    for (const first of c.first) {
      for (const third of c.third) {
        for (let from = 0; from < c.second.length; from += LANES) {
          yield { program, record: recordOf(c, first, from, third, frm) };
        }
      }
    }
  }
}

/** All runs, in order. */
export function* cornerRuns(): Generator<Run> {
  for (const format of [0, 1] as const) {
    const corners = format === 0 ? SINGLES : DOUBLES;
    const cases = [
      ...binaryCases(format, corners),
      ...fusedCases(format, corners),
      ...unaryCases(format, corners),
      ...fromIntegerCases(format),
    ];
    for (const c of cases) yield* runsOf(c);
  }
}
