/**
 * A plain RV64GC interpreter for one user-mode hart, written from the Unprivileged manual and
 * kept slow and obvious: registers are bigint, memory is one flat buffer, and every
 * instruction is decoded anew. The processor is compared with it.
 */

import { expand } from './compressed.ts';
import { fpInstruction } from './fp_instruction.ts';
import {
  bits,
  divide,
  immB,
  immI,
  immJ,
  immS,
  immU,
  isAtomic,
  LR,
  modify,
  multiplyDivide,
  operate64,
  remainder,
  s64,
  SC,
  u64,
  word,
} from './integer.ts';

/** Why step() did not complete an instruction; pc still points at it. */
export type Trap =
  | { cause: 'ecall' }
  | { cause: 'ebreak' }
  | { cause: 'illegal'; word: number }
  | { cause: 'load' | 'store' | 'fetch'; address: bigint }
  | { cause: 'load misaligned' | 'store misaligned'; address: bigint };

class Trapped extends Error {
  readonly trap: Trap;
  constructor(trap: Trap) {
    super(trap.cause);
    this.trap = trap;
  }
}

/** A letter of RV64GC or a Z extension: to count what was executed. */
export type Extension = 'I' | 'M' | 'A' | 'F' | 'D' | 'C' | 'Zicsr' | 'Zifencei';

const EXTENSIONS: readonly Extension[] = ['I', 'M', 'A', 'F', 'D', 'C', 'Zicsr', 'Zifencei'];

const FFLAGS = 0x001;
const FRM = 0x002;
const FCSR = 0x003;
const CYCLE = 0xc00;
const TIME = 0xc01;
const INSTRET = 0xc02;

export type Access = 'load' | 'store' | 'fetch';

/** Memory as a program sees it. */
export interface AddressSpace {
  /** All bytes that any address may stand for. */
  readonly bytes: Uint8Array;
  /**
   * Offset in `bytes` of the byte at `address`, or -1 if it may not be accessed so. Bytes that
   * follow each other within a page do so in `bytes`.
   */
  readonly find: (address: bigint, access: Access) => number;
}

/** A space in which everything is allowed and `memory` begins at `base`. */
export function flatSpace(memory: Uint8Array, base: bigint): AddressSpace {
  const find = (address: bigint): number => {
    const offset = address - base;
    return offset < 0n || offset >= BigInt(memory.length) ? -1 : Number(offset);
  };
  return { bytes: memory, find };
}

const PAGE_MASK = 4095n;

export class Rv64 {
  /** x0..x31 as unsigned 64-bit values; writes wrap. x[0] is forced to 0 after every step. */
  readonly x = new BigUint64Array(32);
  readonly f = new BigUint64Array(32);
  pc: bigint;
  fflags = 0;
  frm = 0;
  /** Address of the load reservation, if one is held. */
  reservation: bigint | null = null;
  /** Instructions completed, in all and by extension; a compressed one counts as C. */
  retired = 0;
  retiredBy: Record<Extension, number>;
  private readonly memory: DataView;
  private readonly space: AddressSpace;

  constructor(space: AddressSpace, pc: bigint) {
    const { buffer, byteOffset, byteLength } = space.bytes;
    this.memory = new DataView(buffer, byteOffset, byteLength);
    this.space = space;
    this.pc = pc;
    this.retiredBy = Object.fromEntries(EXTENSIONS.map((e) => [e, 0])) as Record<Extension, number>;
  }

  /** Executes one instruction. @returns null, or why it did not complete. */
  step(): Trap | null {
    try {
      const half = this.fetch(this.pc);
      const short = (half & 3) !== 3;
      const w = short ? expand(half) : half | (this.fetch(this.pc + 2n) << 16);
      if (w === null) throw new Trapped({ cause: 'illegal', word: half });
      const next = u64(this.pc + (short ? 2n : 4n));
      const extension = this.execute(w, next);
      this.x[0] = 0n;
      this.retired++;
      this.retiredBy[short ? 'C' : extension]++;
      return null;
    } catch (error) {
      if (error instanceof Trapped) return error.trap;
      throw error;
    }
  }

  private fetch(address: bigint): number {
    return this.memory.getUint16(this.offset(address, 2, 'fetch'), true);
  }

  /** Offset of the first of `size` bytes, all of which may be accessed. */
  private offset(address: bigint, size: number, access: Access): number {
    const at = this.space.find(u64(address), access);
    const last = size === 1 ? at : this.space.find(u64(address + BigInt(size - 1)), access);
    if (at >= 0 && last >= 0) return at;
    // The first byte that is not there, as the address of a fault is that of the failing part.
    for (let n = 0; ; n++) {
      const failing = u64(address + BigInt(n));
      if (n === size - 1 || this.space.find(failing, access) < 0) {
        throw new Trapped({ cause: access, address: failing });
      }
    }
  }

  /** Loads 2^log2 bytes, zero-extended. */
  private load(address: bigint, log2: number, access: 'load' | 'store' = 'load'): bigint {
    const size = 1 << log2;
    const at = this.offset(address, size, access);
    if (Number(address & PAGE_MASK) + size > 4096) {
      let value = 0n;
      for (let n = size - 1; n >= 0; n--) {
        const byte = this.space.find(u64(address + BigInt(n)), access);
        value = (value << 8n) | BigInt(this.memory.getUint8(byte));
      }
      return value;
    }
    const { memory } = this;
    if (log2 === 0) return BigInt(memory.getUint8(at));
    if (log2 === 1) return BigInt(memory.getUint16(at, true));
    if (log2 === 2) return BigInt(memory.getUint32(at, true));
    return memory.getBigUint64(at, true);
  }

  private store(address: bigint, log2: number, value: bigint): void {
    const size = 1 << log2;
    const at = this.offset(address, size, 'store');
    const { memory } = this;
    if (Number(address & PAGE_MASK) + size > 4096) {
      for (let n = 0; n < size; n++) {
        const byte = this.space.find(u64(address + BigInt(n)), 'store');
        memory.setUint8(byte, Number((value >> BigInt(8 * n)) & 0xffn));
      }
      return;
    }
    if (log2 === 0) memory.setUint8(at, Number(value & 0xffn));
    else if (log2 === 1) memory.setUint16(at, Number(value & 0xffffn), true);
    else if (log2 === 2) memory.setUint32(at, Number(value & 0xffffffffn), true);
    else memory.setBigUint64(at, value, true);
  }

  private illegal(w: number): never {
    throw new Trapped({ cause: 'illegal', word: w });
  }

  private execute(w: number, next: bigint): Extension {
    const { x } = this;
    const rd = bits(w, 7, 5);
    const rs1 = bits(w, 15, 5);
    const rs2 = bits(w, 20, 5);
    const funct3 = bits(w, 12, 3);
    const address = u64(x[rs1]! + BigInt(immI(w)));
    let target = next;
    let extension: Extension = 'I';
    switch (w & 0x7f) {
      case 0x37:
        x[rd] = immU(w);
        break;
      case 0x17:
        x[rd] = this.pc + immU(w);
        break;
      case 0x6f:
        x[rd] = next;
        target = u64(this.pc + BigInt(immJ(w)));
        break;
      case 0x67:
        if (funct3 !== 0) this.illegal(w);
        x[rd] = next;
        target = address & ~1n;
        break;
      case 0x63:
        if (this.branchTaken(w, funct3, rs1, rs2)) target = u64(this.pc + BigInt(immB(w)));
        break;
      case 0x03:
        this.loadInteger(w, funct3, rd, address);
        break;
      case 0x23:
        if (funct3 > 3) this.illegal(w);
        this.store(x[rs1]! + BigInt(immS(w)), funct3, x[rs2]!);
        break;
      case 0x13:
        x[rd] = this.operateImmediate(w, funct3, x[rs1]!);
        break;
      case 0x1b:
        x[rd] = this.operateImmediate32(w, funct3, x[rs1]!);
        break;
      case 0x33:
      case 0x3b:
        extension = this.operate(w, rd, x[rs1]!, x[rs2]!);
        break;
      case 0x0f:
        if (funct3 > 1) this.illegal(w);
        extension = funct3 === 1 ? 'Zifencei' : 'I';
        break;
      case 0x73:
        this.system(w, funct3, rd, rs1);
        extension = 'Zicsr';
        break;
      case 0x2f:
        this.atomic(w, funct3, rd, x[rs1]!, x[rs2]!);
        extension = 'A';
        break;
      case 0x07:
        this.loadFloat(w, funct3, rd, address);
        extension = funct3 === 2 ? 'F' : 'D';
        break;
      case 0x27:
        if (funct3 !== 2 && funct3 !== 3) this.illegal(w);
        this.store(x[rs1]! + BigInt(immS(w)), funct3, this.f[rs2]!);
        extension = funct3 === 2 ? 'F' : 'D';
        break;
      case 0x43:
      case 0x47:
      case 0x4b:
      case 0x4f:
        extension = this.fused(w, rd, rs1, rs2);
        break;
      case 0x53:
        extension = this.operateFloat(w, funct3, rd, rs1, rs2);
        break;
      default:
        this.illegal(w);
    }
    this.pc = target;
    return extension;
  }

  private branchTaken(w: number, funct3: number, rs1: number, rs2: number): boolean {
    const a = this.x[rs1]!;
    const b = this.x[rs2]!;
    switch (funct3) {
      case 0:
        return a === b;
      case 1:
        return a !== b;
      case 4:
        return s64(a) < s64(b);
      case 5:
        return s64(a) >= s64(b);
      case 6:
        return a < b;
      case 7:
        return a >= b;
      default:
        return this.illegal(w);
    }
  }

  private loadInteger(w: number, funct3: number, rd: number, address: bigint): void {
    if (funct3 === 7) this.illegal(w);
    const value = this.load(address, funct3 & 3);
    this.x[rd] = funct3 & 4 ? value : BigInt.asIntN(8 << funct3, value);
  }

  private operateImmediate(w: number, funct3: number, a: bigint): bigint {
    const imm = BigInt(immI(w));
    const shamt = BigInt(bits(w, 20, 6));
    switch (funct3) {
      case 0:
        return a + imm;
      case 1:
        if (bits(w, 26, 6) !== 0) this.illegal(w);
        return a << shamt;
      case 2:
        return s64(a) < imm ? 1n : 0n;
      case 3:
        return a < u64(imm) ? 1n : 0n;
      case 4:
        return a ^ imm;
      case 5:
        if (bits(w, 26, 6) === 0) return a >> shamt;
        if (bits(w, 26, 6) !== 0x10) this.illegal(w);
        return s64(a) >> shamt;
      case 6:
        return a | u64(imm);
      default:
        return a & u64(imm);
    }
  }

  private operateImmediate32(w: number, funct3: number, a: bigint): bigint {
    const shamt = BigInt(bits(w, 20, 5));
    const funct7 = bits(w, 25, 7);
    if (funct3 === 0) return word(a + BigInt(immI(w)));
    if (funct3 === 1 && funct7 === 0) return word(a << shamt);
    if (funct3 === 5 && funct7 === 0) return word((a & 0xffffffffn) >> shamt);
    if (funct3 === 5 && funct7 === 0x20) return word(a) >> shamt;
    return this.illegal(w);
  }

  /** OP and OP-32, with the M extension in them. */
  private operate(w: number, rd: number, a: bigint, b: bigint): Extension {
    const wide = (w & 0x7f) === 0x33;
    const funct3 = bits(w, 12, 3);
    const funct7 = bits(w, 25, 7);
    if (funct7 === 1) {
      this.x[rd] = wide ? multiplyDivide(funct3, a, b) : this.multiplyDivide32(w, funct3, a, b);
      return 'M';
    }
    if (funct7 !== 0 && !(funct7 === 0x20 && (funct3 === 0 || funct3 === 5))) this.illegal(w);
    const other = funct7 === 0x20;
    this.x[rd] = wide ? operate64(funct3, other, a, b) : this.operate32(w, funct3, other, a, b);
    return 'I';
  }

  private operate32(w: number, funct3: number, other: boolean, a: bigint, b: bigint): bigint {
    const shamt = b & 31n;
    if (funct3 === 0) return word(other ? a - b : a + b);
    if (funct3 === 1) return word(a << shamt);
    if (funct3 === 5) return other ? word(a) >> shamt : word((a & 0xffffffffn) >> shamt);
    return this.illegal(w);
  }

  private multiplyDivide32(w: number, funct3: number, a: bigint, b: bigint): bigint {
    const unsignedA = a & 0xffffffffn;
    const unsignedB = b & 0xffffffffn;
    switch (funct3) {
      case 0:
        return word(a * b);
      case 4:
        return word(divide(word(a), word(b)));
      case 5:
        return unsignedB === 0n ? -1n : word(unsignedA / unsignedB);
      case 6:
        return remainder(word(a), word(b));
      case 7:
        return word(unsignedB === 0n ? unsignedA : unsignedA % unsignedB);
      default:
        return this.illegal(w);
    }
  }

  private system(w: number, funct3: number, rd: number, rs1: number): void {
    if (funct3 === 0) {
      if (w === 0x73) throw new Trapped({ cause: 'ecall' });
      if (w === 0x100073) throw new Trapped({ cause: 'ebreak' });
    }
    if ((funct3 & 3) === 0) this.illegal(w);
    const csr = w >>> 20;
    const operand = funct3 & 4 ? BigInt(rs1) : this.x[rs1]!;
    const writes = (funct3 & 3) === 1 || rs1 !== 0;
    const old = this.readCsr(w, csr);
    if (writes) {
      const changed =
        (funct3 & 3) === 1 ? operand : (funct3 & 3) === 2 ? old | operand : old & ~operand;
      this.writeCsr(w, csr, Number(changed & 0xffn));
    }
    this.x[rd] = old;
  }

  private readCsr(w: number, csr: number): bigint {
    switch (csr) {
      case FFLAGS:
        return BigInt(this.fflags);
      case FRM:
        return BigInt(this.frm);
      case FCSR:
        return BigInt((this.frm << 5) | this.fflags);
      case CYCLE:
      case TIME:
      case INSTRET:
        return BigInt(this.retired);
      default:
        return this.illegal(w);
    }
  }

  private writeCsr(w: number, csr: number, value: number): void {
    switch (csr) {
      case FFLAGS:
        this.fflags = value & 0x1f;
        break;
      case FRM:
        this.frm = value & 7;
        break;
      case FCSR:
        this.fflags = value & 0x1f;
        this.frm = value >> 5;
        break;
      default:
        this.illegal(w);
    }
  }

  private atomic(w: number, funct3: number, rd: number, address: bigint, b: bigint): void {
    const operation = bits(w, 27, 5);
    const reserved = operation === LR && bits(w, 20, 5) !== 0;
    if ((funct3 !== 2 && funct3 !== 3) || reserved || !isAtomic(operation)) this.illegal(w);
    const width = funct3 === 2 ? 32 : 64;
    if (address % BigInt(width / 8) !== 0n) {
      const cause = operation === LR ? 'load misaligned' : 'store misaligned';
      throw new Trapped({ cause, address });
    }
    if (operation === LR) {
      this.x[rd] = BigInt.asIntN(width, this.load(address, funct3));
      this.reservation = address;
    } else if (operation === SC) {
      // The manual leaves open whether an SC that fails anyway may trap: here it does.
      this.offset(address, width / 8, 'store');
      const holds = this.reservation === address;
      this.reservation = null;
      if (holds) this.store(address, funct3, b);
      this.x[rd] = holds ? 0n : 1n;
    } else {
      // An AMO that may not load fails as a store (Privileged, table "scause").
      const old = BigInt.asIntN(width, this.load(address, funct3, 'store'));
      this.store(address, funct3, modify(operation, width, old, BigInt.asIntN(width, b)));
      this.x[rd] = old;
    }
  }

  private loadFloat(w: number, funct3: number, rd: number, address: bigint): void {
    if (funct3 !== 2 && funct3 !== 3) this.illegal(w);
    const value = this.load(address, funct3);
    this.f[rd] = funct3 === 2 ? box(value) : value;
  }

  /** The rounding mode in force for an instruction, illegal if there is none. */
  private roundingMode(w: number): number {
    const rm = bits(w, 12, 3) === 7 ? this.frm : bits(w, 12, 3);
    return rm > 4 ? this.illegal(w) : rm;
  }

  private fused(w: number, rd: number, rs1: number, rs2: number): Extension {
    const format = bits(w, 25, 2);
    if (format > 1) this.illegal(w);
    const name = ['FMADD', 'FMSUB', 'FNMSUB', 'FNMADD'][bits(w, 2, 2)]!;
    const { f } = this;
    const rm = this.roundingMode(w);
    const mnemonic = `${name}_${format === 0 ? 'S' : 'D'}`;
    const result = fpInstruction(mnemonic, f[rs1]!, f[rs2]!, f[w >>> 27]!, rm);
    f[rd] = result.value;
    this.fflags |= result.flags;
    return format === 0 ? 'F' : 'D';
  }

  private operateFloat(w: number, funct3: number, rd: number, rs1: number, rs2: number): Extension {
    const format = bits(w, 25, 2);
    if (format > 1) this.illegal(w);
    const letter = format === 0 ? 'S' : 'D';
    const extension = format === 0 ? 'F' : 'D';
    const operation = bits(w, 27, 5);
    if (this.moveFloat(operation, format, funct3, rd, rs1, rs2)) return extension;
    const mnemonic = fpMnemonic(operation, funct3, rs2, letter);
    if (mnemonic === null) this.illegal(w);
    const hasMode = !/^F(MIN|MAX|EQ|LT|LE|CLASS)/.test(mnemonic);
    const rm = hasMode ? this.roundingMode(w) : 0;
    const fromInteger = operation === 0x1a;
    const a = fromInteger ? this.x[rs1]! : this.f[rs1]!;
    const result = fpInstruction(mnemonic, a, this.f[rs2]!, 0n, rm);
    if (result.toX) this.x[rd] = result.value;
    else this.f[rd] = result.value;
    this.fflags |= result.flags;
    return extension;
  }

  /** FSGNJ and FMV: bits move, nothing is computed. @returns whether it was one of them. */
  private moveFloat(
    operation: number,
    format: number,
    funct3: number,
    rd: number,
    rs1: number,
    rs2: number,
  ): boolean {
    const { f, x } = this;
    if (operation === 0x04 && funct3 <= 2) {
      f[rd] =
        format === 0
          ? box(injectSign(unbox(f[rs1]!), unbox(f[rs2]!), funct3, 31n))
          : injectSign(f[rs1]!, f[rs2]!, funct3, 63n);
      return true;
    }
    if (rs2 !== 0 || funct3 !== 0) return false;
    if (operation === 0x1c) {
      x[rd] = format === 0 ? word(f[rs1]!) : f[rs1]!;
      return true;
    }
    if (operation === 0x1e) {
      f[rd] = format === 0 ? box(x[rs1]! & 0xffffffffn) : x[rs1]!;
      return true;
    }
    return false;
  }
}

function box(single: bigint): bigint {
  return 0xffffffff_00000000n | single;
}

/** A register's single, or the canonical NaN if it holds something wider. */
function unbox(register: bigint): bigint {
  return register >> 32n === 0xffffffffn ? register & 0xffffffffn : 0x7fc00000n;
}

function injectSign(a: bigint, b: bigint, funct3: number, signAt: bigint): bigint {
  const sign = 1n << signAt;
  const from = funct3 === 0 ? b : funct3 === 1 ? ~b : a ^ b;
  return (a & (sign - 1n)) | (from & sign);
}

/** The mnemonic that OP-FP's funct5, rm field and rs2 field select, or null. */
function fpMnemonic(operation: number, rm: number, rs2: number, letter: string): string | null {
  const integer = ['W', 'WU', 'L', 'LU'][rs2];
  switch (operation) {
    case 0x00:
      return `FADD_${letter}`;
    case 0x01:
      return `FSUB_${letter}`;
    case 0x02:
      return `FMUL_${letter}`;
    case 0x03:
      return `FDIV_${letter}`;
    case 0x0b:
      return rs2 === 0 ? `FSQRT_${letter}` : null;
    case 0x05:
      return rm === 0 ? `FMIN_${letter}` : rm === 1 ? `FMAX_${letter}` : null;
    case 0x14:
      return rm <= 2 ? `${['FLE', 'FLT', 'FEQ'][rm]}_${letter}` : null;
    case 0x1c:
      return rm === 1 && rs2 === 0 ? `FCLASS_${letter}` : null;
    case 0x18:
      return integer === undefined ? null : `FCVT_${integer}_${letter}`;
    case 0x1a:
      return integer === undefined ? null : `FCVT_${letter}_${integer}`;
    case 0x08:
      if (letter === 'S') return rs2 === 1 ? 'FCVT_S_D' : null;
      return rs2 === 0 ? 'FCVT_D_S' : null;
    default:
      return null;
  }
}
