/** The F and D instructions that compute, by mnemonic, on the exact arithmetic of fp.ts. */

import * as exact from './fp.ts';

export interface FpResult {
  /** 64 bits for the destination register. */
  value: bigint;
  flags: number;
  /** True if the destination is an x register. */
  toX: boolean;
}

const BOX = 0xffffffff_00000000n;

/** A single as its instructions see it: the canonical NaN unless it is boxed (21.2). */
function unbox(register: bigint): bigint {
  return register >> 32n === 0xffffffffn
    ? register & 0xffffffffn
    : exact.canonicalNan(exact.SINGLE);
}

function operand(f: exact.Format, register: bigint): bigint {
  return f === exact.SINGLE ? unbox(register) : register;
}

function boxed(f: exact.Format, bits: bigint): bigint {
  return f === exact.SINGLE ? BOX | bits : bits;
}

const INTEGER_RANGE: Record<string, [bigint, bigint]> = {
  W: [-(1n << 31n), (1n << 31n) - 1n],
  WU: [0n, (1n << 32n) - 1n],
  L: [-(1n << 63n), (1n << 63n) - 1n],
  LU: [0n, (1n << 64n) - 1n],
};

/** A W or WU result is sign-extended from 32 bits, whatever its signedness (21.7). */
function integerResult(type: string, value: bigint): bigint {
  const extended = type.startsWith('W') ? BigInt.asIntN(32, value) : value;
  return BigInt.asUintN(64, extended);
}

function integerOperand(type: string, register: bigint): bigint {
  switch (type) {
    case 'W':
      return BigInt.asIntN(32, register);
    case 'WU':
      return BigInt.asUintN(32, register);
    case 'L':
      return BigInt.asIntN(64, register);
    default:
      return register;
  }
}

function formatOf(letter: string): exact.Format {
  return letter === 'S' ? exact.SINGLE : exact.DOUBLE;
}

function convertInstruction(s: exact.Status, to: string, from: string, a: bigint): FpResult {
  const range = INTEGER_RANGE[to];
  if (range !== undefined) {
    const f = formatOf(from);
    const value = exact.toInteger(s, f, operand(f, a), range[0], range[1]);
    return { value: integerResult(to, value), flags: s.flags, toX: true };
  }
  const f = formatOf(to);
  const source = formatOf(from);
  const bits =
    INTEGER_RANGE[from] === undefined
      ? exact.convert(s, source, f, operand(source, a))
      : exact.fromInteger(s, f, integerOperand(from, a));
  return { value: boxed(f, bits), flags: s.flags, toX: false };
}

function compareInstruction(
  s: exact.Status,
  f: exact.Format,
  name: string,
  x: bigint,
  y: bigint,
): FpResult | null {
  const relations: Record<string, 'eq' | 'lt' | 'le'> = { FEQ: 'eq', FLT: 'lt', FLE: 'le' };
  const relation = relations[name];
  if (name === 'FCLASS') return { value: exact.classify(f, x), flags: 0, toX: true };
  if (relation === undefined) return null;
  const holds = exact.compare(s, f, x, y, relation);
  return { value: holds ? 1n : 0n, flags: s.flags, toX: true };
}

/**
 * Executes one instruction.
 * @param mnemonic upper case with underscores: `FADD_S`, `FCVT_W_D`.
 * @param a, b, c the source registers, 64 bits: x registers for conversions from integers.
 * @param rm the rounding mode, 0..4.
 */
export function fpInstruction(
  mnemonic: string,
  a: bigint,
  b: bigint,
  c: bigint,
  rm: number,
): FpResult {
  const s: exact.Status = { rm, flags: 0 };
  const parts = mnemonic.split('_');
  const name = parts[0]!;
  if (name === 'FCVT') return convertInstruction(s, parts[1]!, parts[2]!, a);
  const f = formatOf(parts[1]!);
  const x = operand(f, a);
  const y = operand(f, b);
  const compared = compareInstruction(s, f, name, x, y);
  if (compared !== null) return compared;
  const bits = arithmetic(s, f, name, x, y, operand(f, c));
  return { value: boxed(f, bits), flags: s.flags, toX: false };
}

function arithmetic(
  s: exact.Status,
  f: exact.Format,
  name: string,
  x: bigint,
  y: bigint,
  z: bigint,
): bigint {
  switch (name) {
    case 'FADD':
      return exact.add(s, f, x, y);
    case 'FSUB':
      return exact.add(s, f, x, y, true);
    case 'FMUL':
      return exact.mul(s, f, x, y);
    case 'FDIV':
      return exact.div(s, f, x, y);
    case 'FSQRT':
      return exact.sqrt(s, f, x);
    case 'FMIN':
      return exact.minMax(s, f, x, y, false);
    case 'FMAX':
      return exact.minMax(s, f, x, y, true);
    case 'FMADD':
      return exact.fma(s, f, x, y, z, false, false);
    case 'FMSUB':
      return exact.fma(s, f, x, y, z, false, true);
    case 'FNMSUB':
      return exact.fma(s, f, x, y, z, true, false);
    case 'FNMADD':
      return exact.fma(s, f, x, y, z, true, true);
    default:
      throw new Error(`No such instruction: ${name}`);
  }
}
