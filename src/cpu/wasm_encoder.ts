/**
 * Writes WebAssembly modules: LEB128, sections, function bodies with labels. Small and fast
 * rather than complete; it knows the instructions the processor emits and checks nothing that
 * the engine's own validation reports.
 */

import { ByteWriter } from './byte_writer.ts';

/** Opcodes of the WebAssembly 2.0 core specification, appendix "Index of Instructions". */
export const Op = {
  unreachable: 0x00,
  return: 0x0f,
  call: 0x10,
  drop: 0x1a,
  select: 0x1b,
  i32Load: 0x28,
  i64Load: 0x29,
  f32Load: 0x2a,
  f64Load: 0x2b,
  i32Load8U: 0x2d,
  i32Load16S: 0x2e,
  i32Load16U: 0x2f,
  i64Load8S: 0x30,
  i64Load8U: 0x31,
  i64Load16S: 0x32,
  i64Load16U: 0x33,
  i64Load32S: 0x34,
  i64Load32U: 0x35,
  i32Store: 0x36,
  i64Store: 0x37,
  f32Store: 0x38,
  f64Store: 0x39,
  i32Store8: 0x3a,
  i32Store16: 0x3b,
  i64Store8: 0x3c,
  i64Store16: 0x3d,
  i64Store32: 0x3e,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtS: 0x4a,
  i32GtU: 0x4b,
  i32LeS: 0x4c,
  i32LeU: 0x4d,
  i32GeS: 0x4e,
  i32GeU: 0x4f,
  i64Eqz: 0x50,
  i64Eq: 0x51,
  i64Ne: 0x52,
  i64LtS: 0x53,
  i64LtU: 0x54,
  i64GtS: 0x55,
  i64GtU: 0x56,
  i64LeS: 0x57,
  i64LeU: 0x58,
  i64GeS: 0x59,
  i64GeU: 0x5a,
  f32Eq: 0x5b,
  f32Ne: 0x5c,
  f32Lt: 0x5d,
  f32Gt: 0x5e,
  f32Le: 0x5f,
  f32Ge: 0x60,
  f64Eq: 0x61,
  f64Ne: 0x62,
  f64Lt: 0x63,
  f64Gt: 0x64,
  f64Le: 0x65,
  f64Ge: 0x66,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32DivS: 0x6d,
  i32DivU: 0x6e,
  i32RemS: 0x6f,
  i32RemU: 0x70,
  i32And: 0x71,
  i32Or: 0x72,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrS: 0x75,
  i32ShrU: 0x76,
  i64Clz: 0x79,
  i64Ctz: 0x7a,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64Mul: 0x7e,
  i64DivS: 0x7f,
  i64DivU: 0x80,
  i64RemS: 0x81,
  i64RemU: 0x82,
  i64And: 0x83,
  i64Or: 0x84,
  i64Xor: 0x85,
  i64Shl: 0x86,
  i64ShrS: 0x87,
  i64ShrU: 0x88,
  f32Abs: 0x8b,
  f32Neg: 0x8c,
  f32Sqrt: 0x91,
  f32Add: 0x92,
  f32Sub: 0x93,
  f32Mul: 0x94,
  f32Div: 0x95,
  f32Min: 0x96,
  f32Max: 0x97,
  f64Abs: 0x99,
  f64Neg: 0x9a,
  f64Ceil: 0x9b,
  f64Floor: 0x9c,
  f64Nearest: 0x9e,
  f64Sqrt: 0x9f,
  f64Add: 0xa0,
  f64Sub: 0xa1,
  f64Mul: 0xa2,
  f64Div: 0xa3,
  f64Min: 0xa4,
  f64Max: 0xa5,
  i32WrapI64: 0xa7,
  i64ExtendI32S: 0xac,
  i64ExtendI32U: 0xad,
  i64TruncF64S: 0xb0,
  f32ConvertI64S: 0xb4,
  f32ConvertI64U: 0xb5,
  f32DemoteF64: 0xb6,
  f64ConvertI32S: 0xb7,
  f64ConvertI32U: 0xb8,
  f64ConvertI64S: 0xb9,
  f64ConvertI64U: 0xba,
  f64PromoteF32: 0xbb,
  i32ReinterpretF32: 0xbc,
  i64ReinterpretF64: 0xbd,
  f32ReinterpretI32: 0xbe,
  f64ReinterpretI64: 0xbf,
  i64Extend8S: 0xc2,
  i64Extend16S: 0xc3,
  i64Extend32S: 0xc4,
} as const;

/** Value types, and the type of a block without a result. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const VOID = 0x40;

const OP_BLOCK = 0x02;
const OP_LOOP = 0x03;
const OP_IF = 0x04;
const OP_ELSE = 0x05;
const OP_END = 0x0b;
const OP_BR = 0x0c;
const OP_BR_IF = 0x0d;
const OP_BR_TABLE = 0x0e;
const OP_CALL_INDIRECT = 0x11;
const OP_RETURN_CALL = 0x12;
const OP_RETURN_CALL_INDIRECT = 0x13;
const OP_LOCAL_GET = 0x20;
const OP_LOCAL_SET = 0x21;
const OP_LOCAL_TEE = 0x22;
const OP_GLOBAL_GET = 0x23;
const OP_GLOBAL_SET = 0x24;
const OP_I32_CONST = 0x41;
const OP_I64_CONST = 0x42;
const OP_F32_CONST = 0x43;
const OP_F64_CONST = 0x44;

/** A branch target: how many blocks were open when it was opened. */
export type Label = number;

/** One function body. Parameters are locals 0 to params.length - 1; locals follow. */
export class FunctionBuilder {
  readonly code = new ByteWriter(4096);
  readonly #locals: number[] = [];
  readonly #params: number;
  #depth = 0;
  /** Offset in `code` of each branch with a hint, and whether it is likely taken. */
  readonly #hints: (readonly [offset: number, taken: boolean])[] = [];

  constructor(params: number) {
    this.#params = params;
  }

  /** Says of the br_if or if that comes next whether it is likely taken (its condition true). */
  hint(taken: boolean): void {
    this.#hints.push([this.code.length, taken]);
  }

  /** Declares a local of the given type and returns its index. */
  local(type: number): number {
    this.#locals.push(type);
    return this.#params + this.#locals.length - 1;
  }

  op(opcode: number): void {
    this.code.byte(opcode);
  }

  i32Const(value: number): void {
    this.code.byte(OP_I32_CONST);
    this.code.s32(value);
  }

  /** @param value a whole number in [-2^63, 2^63) that a double holds exactly. */
  i64Const(value: number): void {
    this.code.byte(OP_I64_CONST);
    this.code.s64(value);
  }

  f32Const(value: number): void {
    this.code.byte(OP_F32_CONST);
    this.code.f32(value);
  }

  f64Const(value: number): void {
    this.code.byte(OP_F64_CONST);
    this.code.f64(value);
  }

  get(local: number): void {
    this.code.coded(OP_LOCAL_GET, local);
  }

  set(local: number): void {
    this.code.coded(OP_LOCAL_SET, local);
  }

  tee(local: number): void {
    this.code.coded(OP_LOCAL_TEE, local);
  }

  globalGet(index: number): void {
    this.code.byte(OP_GLOBAL_GET);
    this.code.u32(index);
  }

  globalSet(index: number): void {
    this.code.byte(OP_GLOBAL_SET);
    this.code.u32(index);
  }

  /** A load or store with a static offset. Alignment is only a hint, so none is given. */
  mem(opcode: number, offset = 0): void {
    this.code.byte(opcode);
    this.code.byte(0);
    this.code.u32(offset);
  }

  call(index: number): void {
    this.code.byte(Op.call);
    this.code.u32(index);
  }

  /** Calls the function of type `type` whose place in the imported table is on the stack. */
  callIndirect(type: number): void {
    this.code.byte(OP_CALL_INDIRECT);
    this.code.u32(type);
    this.code.u32(0);
  }

  /** As call and callIndirect, instead of returning: where TAIL_CALLS is true. */
  returnCall(index: number): void {
    this.code.byte(OP_RETURN_CALL);
    this.code.u32(index);
  }

  returnCallIndirect(type: number): void {
    this.code.byte(OP_RETURN_CALL_INDIRECT);
    this.code.u32(type);
    this.code.u32(0);
  }

  #open(opcode: number, type: number): Label {
    this.code.byte(opcode);
    this.code.byte(type);
    return this.#depth++;
  }

  block(type = VOID): Label {
    return this.#open(OP_BLOCK, type);
  }

  loop(): Label {
    return this.#open(OP_LOOP, VOID);
  }

  if(type = VOID): Label {
    return this.#open(OP_IF, type);
  }

  else(): void {
    this.code.byte(OP_ELSE);
  }

  end(): void {
    this.code.byte(OP_END);
    this.#depth--;
  }

  br(label: Label): void {
    this.code.byte(OP_BR);
    this.code.u32(this.#depth - label - 1);
  }

  brIf(label: Label): void {
    this.code.byte(OP_BR_IF);
    this.code.u32(this.#depth - label - 1);
  }

  brTable(labels: readonly Label[], otherwise: Label): void {
    this.code.byte(OP_BR_TABLE);
    this.code.u32(labels.length);
    for (const label of labels) this.code.u32(this.#depth - label - 1);
    this.code.u32(this.#depth - otherwise - 1);
  }

  #localsSection(): ByteWriter {
    const out = new ByteWriter();
    out.u32(this.#locals.length);
    for (const type of this.#locals) out.coded(1, type);
    return out;
  }

  /** The body as the code section wants it: size, locals, code, end. */
  encode(): ByteWriter {
    const locals = this.#localsSection();
    const sized = new ByteWriter(this.code.length + locals.length + 8);
    sized.u32(locals.length + this.code.length + 1);
    sized.append(locals);
    sized.append(this.code);
    sized.byte(OP_END);
    return sized;
  }

  /** The hints as the section of branch hints wants them, or null if there is none. */
  encodeHints(): ByteWriter | null {
    if (this.#hints.length === 0) return null;
    const start = this.#localsSection().length;
    const out = new ByteWriter();
    out.u32(this.#hints.length);
    for (const [offset, taken] of this.#hints) {
      out.u32(start + offset);
      out.u32(1);
      out.byte(taken ? 1 : 0);
    }
    return out;
  }
}

interface Import {
  readonly name: string;
  readonly type: number;
}

interface DefinedFunction {
  readonly type: number;
  readonly body: FunctionBuilder;
  readonly exportName: string | undefined;
}

const SECTION_CUSTOM = 0;
const SECTION_TYPE = 1;
const SECTION_IMPORT = 2;
const SECTION_FUNCTION = 3;
const SECTION_GLOBAL = 6;
const SECTION_EXPORT = 7;
const SECTION_CODE = 10;

const KIND_FUNCTION = 0;
const KIND_TABLE = 1;
const KIND_MEMORY = 2;
const KIND_GLOBAL = 3;
const FUNCREF = 0x70;
const MUTABLE = 1;

/** Name of the module that all imports come from. */
export const IMPORT_MODULE = 'cpu';
/** Names of the imported memory and table. */
export const IMPORT_MEMORY = 'memory';
export const IMPORT_TABLE = 'table';

/**
 * A module that imports one memory, functions and globals. Declare all imports before the first
 * function and global of the module's own: indexes count imports first.
 */
export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #imports: Import[] = [];
  readonly #importedGlobals: string[] = [];
  readonly #functions: DefinedFunction[] = [];
  readonly #globals: (string | undefined)[] = [];
  readonly #memoryPages: number;
  #tableSize = -1;

  /** @param memoryPages size of the imported memory in 64 KiB pages; it is also its maximum. */
  constructor(memoryPages: number) {
    this.#memoryPages = memoryPages;
  }

  /** Index of a function type. */
  type(params: readonly number[], results: readonly number[]): number {
    const key = String.fromCharCode(0x60, params.length, ...params, results.length, ...results);
    const known = this.#types.indexOf(key);
    return known >= 0 ? known : this.#types.push(key) - 1;
  }

  /** Imports a function and returns its index. */
  import(name: string, params: readonly number[], results: readonly number[]): number {
    return this.#imports.push({ name, type: this.type(params, results) }) - 1;
  }

  /** Imports a mutable i32 global and returns its index. */
  importGlobal(name: string): number {
    return this.#importedGlobals.push(name) - 1;
  }

  /** Imports the table of functions, which has at least `size` places. */
  importTable(size: number): void {
    this.#tableSize = size;
  }

  /** A mutable i32 global that starts as 0. */
  global(exportName?: string): number {
    return this.#importedGlobals.length + this.#globals.push(exportName) - 1;
  }

  /** Adds a function whose body `emit` writes, and returns its index. */
  define(
    params: readonly number[],
    results: readonly number[],
    emit: (f: FunctionBuilder) => void,
    exportName?: string,
  ): number {
    const body = new FunctionBuilder(params.length);
    emit(body);
    return this.add(params, results, body, exportName);
  }

  /** Adds a function with a finished body, and returns its index. */
  add(
    params: readonly number[],
    results: readonly number[],
    body: FunctionBuilder,
    exportName?: string,
  ): number {
    const type = this.type(params, results);
    return this.#imports.length + this.#functions.push({ type, body, exportName }) - 1;
  }

  #importSection(): ByteWriter {
    const out = new ByteWriter();
    const hasTable = this.#tableSize >= 0;
    out.u32(this.#imports.length + this.#importedGlobals.length + 1 + (hasTable ? 1 : 0));
    const entry = (name: string, kind: number): void => {
      out.name(IMPORT_MODULE);
      out.name(name);
      out.byte(kind);
    };
    entry(IMPORT_MEMORY, KIND_MEMORY);
    out.byte(1);
    out.u32(this.#memoryPages);
    out.u32(this.#memoryPages);
    if (hasTable) {
      entry(IMPORT_TABLE, KIND_TABLE);
      out.byte(FUNCREF);
      out.byte(0);
      out.u32(this.#tableSize);
    }
    for (const { name, type } of this.#imports) {
      entry(name, KIND_FUNCTION);
      out.u32(type);
    }
    for (const name of this.#importedGlobals) {
      entry(name, KIND_GLOBAL);
      out.byte(I32);
      out.byte(MUTABLE);
    }
    return out;
  }

  #typeSection(): ByteWriter {
    const out = new ByteWriter();
    out.u32(this.#types.length);
    for (const type of this.#types)
      for (let i = 0; i < type.length; i++) out.byte(type.charCodeAt(i));
    return out;
  }

  #globalSection(): ByteWriter {
    const out = new ByteWriter();
    out.u32(this.#globals.length);
    for (let i = 0; i < this.#globals.length; i++) {
      out.byte(I32);
      out.byte(MUTABLE);
      out.byte(OP_I32_CONST);
      out.s32(0);
      out.byte(OP_END);
    }
    return out;
  }

  #exportSection(): ByteWriter {
    const exports: [name: string, kind: number, index: number][] = [];
    this.#functions.forEach(({ exportName }, i) => {
      if (exportName !== undefined)
        exports.push([exportName, KIND_FUNCTION, this.#imports.length + i]);
    });
    this.#globals.forEach((name, i) => {
      if (name !== undefined) exports.push([name, KIND_GLOBAL, this.#importedGlobals.length + i]);
    });
    const out = new ByteWriter();
    out.u32(exports.length);
    for (const [name, kind, index] of exports) {
      out.name(name);
      out.byte(kind);
      out.u32(index);
    }
    return out;
  }

  /** Branch hints are a custom section: hosts that do not know it skip it. */
  #hintSection(): ByteWriter {
    const functions = this.#functions.flatMap(({ body }, i) => {
      const hints = body.encodeHints();
      return hints === null ? [] : [{ index: this.#imports.length + i, hints }];
    });
    const out = new ByteWriter();
    out.name('metadata.code.branch_hint');
    out.u32(functions.length);
    for (const { index, hints } of functions) {
      out.u32(index);
      out.append(hints);
    }
    return out;
  }

  /** The binary module. */
  encode(): Uint8Array<ArrayBuffer> {
    const functions = new ByteWriter();
    const code = new ByteWriter();
    functions.u32(this.#functions.length);
    code.u32(this.#functions.length);
    for (const { type, body } of this.#functions) {
      functions.u32(type);
      code.append(body.encode());
    }
    const out = new ByteWriter();
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    const section = (id: number, content: ByteWriter): void => {
      out.byte(id);
      out.u32(content.length);
      out.append(content);
    };
    section(SECTION_TYPE, this.#typeSection());
    section(SECTION_IMPORT, this.#importSection());
    section(SECTION_FUNCTION, functions);
    section(SECTION_GLOBAL, this.#globalSection());
    section(SECTION_EXPORT, this.#exportSection());
    section(SECTION_CUSTOM, this.#hintSection());
    section(SECTION_CODE, code);
    return out.bytes.slice(0, out.length);
  }
}

/** Whether the host has tail calls: the module is `(func (return_call 0))`. */
export const TAIL_CALLS = WebAssembly.validate(
  new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[SECTION_TYPE, 4, 1, 0x60, 0, 0],
    ...[SECTION_FUNCTION, 2, 1, 0],
    ...[SECTION_CODE, 6, 1, 4, 0, OP_RETURN_CALL, 0, OP_END],
  ]),
);
