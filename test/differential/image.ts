/**
 * Puts random programs into one static RV64 executable that any of the engines can run.
 *
 * A small frame loads every register from a record, jumps to a program, and stores every
 * register, fcsr and the data window to the output, one record after the other; at the end it
 * writes the output to file 1. The frame needs one register of its own while a program runs,
 * a different one from program to program.
 *
 *     BASE      frame code | variables | programs | records | output (zeros) | window
 */

import * as asm from './assembler.ts';
import type { Insn } from './assembler.ts';

/** Address of the first byte. */
export const BASE = 0x10000;
/** Bytes of memory that a program may load and store, half of them on either side of a page boundary. */
export const WINDOW_BYTES = 128;

/** Byte offsets in a record and, up to the window, in its output. */
const X_AT = 0;
export const F_AT = 256;
export const FCSR_AT = 512;
export const WINDOW_AT = 520;
export const OUTPUT_BYTES = WINDOW_AT + WINDOW_BYTES;
const ENTER_AT = OUTPUT_BYTES;
/** Bytes of a record: the output's fields, then the address of the frame's way in. */
export const RECORD_BYTES = ENTER_AT + 8;

/** Address of the frame's variables: a page of their own. */
export const VARIABLES = BASE + 0x8000;
const CURSOR = 0;
const END = 8;
const OUTPUT = 16;
/** How often each run is still, and is to be, repeated: so that compilers find it worth their while. */
const LEFT = 24;
const REPEAT = 32;
const CODE = BASE + 0x9000;

const SYS_WRITE = 64;
const SYS_EXIT = 93;
const X_T0 = 5;
const X_T1 = 6;
const X_T2 = 7;
const X_T3 = 28;
const X_A0 = 10;
const X_A1 = 11;
const X_A2 = 12;
const X_A7 = 17;
const CSR_FCSR = 3;

/** One random program. */
export interface Program {
  readonly insns: Insn[];
  /** The register that the frame keeps: readable, but never written by the program. */
  readonly reserved: number;
}

/** A program with the registers and the window that it starts from. */
export interface Run {
  readonly program: Program;
  /** RECORD_BYTES, the part up to ENTER_AT filled in. */
  readonly record: Uint8Array;
}

export interface Image {
  /** File contents from BASE on; the memory after it, up to `end`, is zero. */
  readonly bytes: Uint8Array;
  readonly entry: number;
  /** First address after the output and the window. */
  readonly end: number;
  /** Addresses of the programs: what runs in there is counted. */
  readonly codeStart: number;
  readonly codeEnd: number;
  readonly runs: readonly Run[];
}

/** Words of a record: x registers two words each, f registers, fcsr, window. */
export function recordViews(record: Uint8Array): {
  x: Int32Array;
  fWords: Int32Array;
  doubles: Float64Array;
  singles: Float32Array;
  fcsr: Int32Array;
  window: Int32Array;
} {
  const { buffer, byteOffset } = record;
  return {
    x: new Int32Array(buffer, byteOffset + X_AT, 64),
    fWords: new Int32Array(buffer, byteOffset + F_AT, 64),
    doubles: new Float64Array(buffer, byteOffset + F_AT, 32),
    singles: new Float32Array(buffer, byteOffset + F_AT, 64),
    fcsr: new Int32Array(buffer, byteOffset + FCSR_AT, 2),
    window: new Int32Array(buffer, byteOffset + WINDOW_AT, WINDOW_BYTES / 4),
  };
}

/** A growing piece of code with labels that are only used backwards or filled in later. */
class Code {
  readonly words: number[] = [];
  readonly base: number;

  constructor(base: number) {
    this.base = base;
  }

  get here(): number {
    return this.base + this.words.length * 4;
  }

  emit(...words: number[]): void {
    this.words.push(...words);
  }

  /** LUI + ADDI of a small address. */
  address(rd: number, address: number): void {
    const { high, low } = asm.split(address);
    this.emit(asm.u(asm.OP_LUI, rd, high), asm.addi(rd, rd, low));
  }

  jump(to: number): void {
    this.emit(asm.jal(0, to - this.here));
  }
}

interface Frame {
  words: number[];
  entry: number;
  /** By reserved register: where a record is loaded, and where a program goes when it ends. */
  enter: number[];
  exit: number[];
}

function copyWindow(code: Code, from: number, fromAt: number, to: number, toAt: number): void {
  for (let at = 0; at < WINDOW_BYTES; at += 8) {
    code.emit(asm.ld(X_T3, from, fromAt + at), asm.sd(X_T3, to, toAt + at));
  }
}

/** Start of the next run: t0 = variables, t1 = record. */
function emitLoop(code: Code, windowVar: number): number {
  const loop = code.here;
  code.address(X_T0, VARIABLES);
  code.emit(asm.ld(X_T1, X_T0, CURSOR), asm.ld(X_T2, X_T0, END));
  const done = code.words.length;
  code.emit(0, asm.addi(X_T3, X_T1, RECORD_BYTES), asm.sd(X_T3, X_T0, CURSOR));
  code.address(X_T2, windowVar);
  copyWindow(code, X_T1, WINDOW_AT, X_T2, 0);
  code.emit(asm.ld(X_T3, X_T1, FCSR_AT), asm.i(asm.OP_SYSTEM, 1, 0, X_T3, CSR_FCSR));
  code.emit(asm.ld(X_T3, X_T1, ENTER_AT), asm.i(asm.OP_JALR, 0, 0, X_T3, 0));
  code.words[done] = asm.branch(0, X_T1, X_T2, code.here - (code.base + done * 4));
  return loop;
}

/** Writes the output from where `start` says up to where the cursor of the output is, and exits. */
function emitFinish(code: Code, start: number): void {
  code.emit(asm.ld(X_T2, X_T0, OUTPUT));
  code.address(X_A1, start);
  const again = code.here;
  code.emit(asm.addi(X_A0, 0, 1), asm.r(asm.OP_OP, 0, 0x20, X_A2, X_T2, X_A1));
  code.emit(asm.addi(X_A7, 0, SYS_WRITE), asm.i(asm.OP_SYSTEM, 0, 0, 0, 0));
  code.emit(asm.r(asm.OP_OP, 0, 0, X_A1, X_A1, X_A0));
  code.emit(asm.branch(6, X_A1, X_T2, again - code.here));
  code.emit(asm.addi(X_A0, 0, 0), asm.addi(X_A7, 0, SYS_EXIT), asm.i(asm.OP_SYSTEM, 0, 0, 0, 0));
}

/** Loads all registers of the record at t1, `reserved` last, and jumps to its program. */
function emitEnter(code: Code, reserved: number): void {
  code.emit(asm.addi(reserved, X_T1, 0));
  for (let n = 0; n < 32; n++) code.emit(asm.i(asm.OP_LOAD_FP, 3, n, reserved, F_AT + n * 8));
  for (let n = 1; n < 32; n++) {
    if (n !== reserved) code.emit(asm.ld(n, reserved, X_AT + n * 8));
  }
  // x0's place holds the address of the program.
  code.emit(asm.ld(reserved, reserved, X_AT), asm.i(asm.OP_JALR, 0, 0, reserved, 0));
}

/** Stores all registers but `reserved` to the output. */
function emitExit(code: Code, reserved: number, tail: number): void {
  const { high, low } = asm.split(VARIABLES + OUTPUT);
  code.emit(asm.u(asm.OP_LUI, reserved, high), asm.ld(reserved, reserved, low));
  for (let n = 0; n < 32; n++) {
    if (n !== reserved) code.emit(asm.sd(n, reserved, X_AT + n * 8));
    code.emit(asm.s(asm.OP_STORE_FP, 3, reserved, n, F_AT + n * 8));
  }
  code.jump(tail);
}

/** After the registers: fcsr and the window, then the next run. */
function emitTail(code: Code, windowVar: number, loop: number): number {
  const tail = code.here;
  code.address(X_T0, VARIABLES);
  code.emit(asm.ld(X_T1, X_T0, OUTPUT), asm.i(asm.OP_SYSTEM, 2, X_T3, 0, CSR_FCSR));
  code.emit(asm.sd(X_T3, X_T1, FCSR_AT));
  code.address(X_T2, windowVar);
  copyWindow(code, X_T2, 0, X_T1, WINDOW_AT);
  code.emit(asm.ld(X_T3, X_T0, LEFT), asm.addi(X_T3, X_T3, -1), asm.sd(X_T3, X_T0, LEFT));
  const last = code.words.length;
  code.emit(0, asm.ld(X_T3, X_T0, CURSOR), asm.addi(X_T3, X_T3, -RECORD_BYTES));
  code.emit(asm.sd(X_T3, X_T0, CURSOR));
  code.jump(loop);
  code.words[last] = asm.branch(0, X_T3, 0, code.here - (code.base + last * 4));
  code.emit(asm.ld(X_T3, X_T0, REPEAT), asm.sd(X_T3, X_T0, LEFT));
  code.emit(asm.addi(X_T1, X_T1, OUTPUT_BYTES), asm.sd(X_T1, X_T0, OUTPUT));
  code.jump(loop);
  return tail;
}

function buildFrame(windowAddress: number, outputStart: number): Frame {
  const code = new Code(BASE);
  const enter: number[] = [0];
  const exit: number[] = [0];
  const entry = code.here;
  const loop = emitLoop(code, windowAddress);
  emitFinish(code, outputStart);
  const tail = emitTail(code, windowAddress, loop);
  for (let n = 1; n < 32; n++) {
    enter.push(code.here);
    emitEnter(code, n);
    exit.push(code.here);
    emitExit(code, n, tail);
  }
  if (code.here > VARIABLES) throw new Error('The frame does not fit in front of its variables');
  return { words: code.words, entry, enter, exit };
}

/** Bytes of a program with the two instructions that leave it. */
function programBytes(program: Program): number {
  let bytes = 8;
  for (const insn of program.insns) bytes += insn.size;
  return bytes;
}

/** Lays out one program at `address`. */
function emitProgram(view: DataView, at: number, program: Program, exit: number): void {
  const { insns, reserved } = program;
  const starts: number[] = [];
  let offset = 0;
  for (const insn of insns) {
    starts.push(offset);
    offset += insn.size;
  }
  starts.push(offset);
  for (const [n, insn] of insns.entries()) {
    let { word } = insn;
    if (insn.patch !== undefined) {
      let target = Math.min(n + (insn.skip ?? 1), insns.length);
      while (insns[target]?.joined === true) target++;
      word = insn.patch(starts[target]! - starts[n]!);
    }
    if (insn.size === 2) view.setUint16(at + starts[n]!, word, true);
    else view.setInt32(at + starts[n]!, word, true);
  }
  const { high, low } = asm.split(exit);
  view.setInt32(at + offset, asm.u(asm.OP_LUI, reserved, high), true);
  view.setInt32(at + offset + 4, asm.i(asm.OP_JALR, 0, 0, reserved, low), true);
}

function pageUp(n: number): number {
  return Math.ceil(n / 4096) * 4096;
}

/** Address of the window for all images: it must be known before there is anything to lay out. */
export const WINDOW = BASE + 0x1000000 - WINDOW_BYTES / 2;

/** Makes each run of an image repeat; `variables` is what is at VARIABLES. */
export function setRepeat(variables: DataView, times: number): void {
  variables.setUint32(LEFT, times, true);
  variables.setUint32(REPEAT, times, true);
}

/** Builds the executable of `runs`; programs shared between runs are laid out once. */
export function buildImage(runs: readonly Run[]): Image {
  const programs = [...new Set(runs.map((run) => run.program))];
  let codeBytes = 0;
  for (const program of programs) codeBytes += programBytes(program) + 2;
  const codeEnd = CODE + codeBytes;
  const records = pageUp(codeEnd);
  const output = pageUp(records + runs.length * RECORD_BYTES);
  const outputEnd = output + runs.length * OUTPUT_BYTES;
  if (outputEnd > WINDOW - 4096) throw new Error('Too many runs for one image');
  const frame = buildFrame(WINDOW, output);
  const bytes = new Uint8Array(records - BASE + runs.length * RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [n, word] of frame.words.entries()) view.setInt32(n * 4, word, true);
  view.setUint32(VARIABLES - BASE + CURSOR, records, true);
  view.setUint32(VARIABLES - BASE + END, records + runs.length * RECORD_BYTES, true);
  view.setUint32(VARIABLES - BASE + OUTPUT, output, true);
  setRepeat(new DataView(bytes.buffer, VARIABLES - BASE), 1);
  const addresses = new Map<Program, number>();
  let address = CODE;
  for (const [n, program] of programs.entries()) {
    addresses.set(program, address);
    emitProgram(view, address - BASE, program, frame.exit[program.reserved]!);
    // Every third program starts at an odd half-word.
    address += programBytes(program) + (n % 3 === 0 ? 2 : 0);
  }
  for (const [n, run] of runs.entries()) {
    const at = records - BASE + n * RECORD_BYTES;
    bytes.set(run.record, at);
    view.setUint32(at + X_AT, addresses.get(run.program)!, true);
    view.setUint32(at + ENTER_AT, frame.enter[run.program.reserved]!, true);
  }
  const end = WINDOW + WINDOW_BYTES;
  return { bytes, entry: frame.entry, end, codeStart: CODE, codeEnd, runs };
}

const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const EM_RISCV = 243;
const EF_RISCV_RVC_DOUBLE = 5;

/** The image as a static ELF executable: one segment, readable, writable and executable. */
export function toElf(image: Image): Uint8Array {
  const offset = 4096;
  const file = new Uint8Array(offset + image.bytes.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  view.setUint16(16, 2, true);
  view.setUint16(18, EM_RISCV, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(image.entry), true);
  view.setBigUint64(32, BigInt(ELF_HEADER), true);
  view.setUint32(48, EF_RISCV_RVC_DOUBLE, true);
  view.setUint16(52, ELF_HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 1, true);
  const ph = ELF_HEADER;
  view.setUint32(ph, 1, true);
  view.setUint32(ph + 4, 7, true);
  view.setBigUint64(ph + 8, BigInt(offset), true);
  view.setBigUint64(ph + 16, BigInt(BASE), true);
  view.setBigUint64(ph + 24, BigInt(BASE), true);
  view.setBigUint64(ph + 32, BigInt(image.bytes.length), true);
  view.setBigUint64(ph + 40, BigInt(image.end - BASE), true);
  view.setBigUint64(ph + 48, 4096n, true);
  file.set(image.bytes, offset);
  return file;
}
