import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type CfiRow,
  newRegisters,
  PC,
  type Registers,
  rowAt,
  STEP_CALLER,
  STEP_END,
  STEP_LOST,
  stepRow,
} from '../../../../src/machine/profile/cfi.ts';
import { type EhFrame, findFde, parseEhFrame } from '../../../../src/machine/profile/eh_frame.ts';

/** Where the section and the code it is about are said to be. */
const SECTION = 0x20_0000;
const CODE = 0x10_0000;
const CODE_BYTES = 0x100;
/** def_cfa sp, 0. */
const ENTRY_RULES = [0x0c, 2, 0];

function u32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

/** A record: its length, then what is given, padded by nops. */
function record(body: readonly number[]): number[] {
  const padded = [...body, ...new Array<number>((8 - ((body.length + 4) % 8)) % 8).fill(0)];
  return [...u32(padded.length), ...padded];
}

/** A section of one CIE as compilers write it, and one FDE. */
function section(
  rules: readonly number[],
  { augmentation = 'zR', data = [0x1b], initial = ENTRY_RULES } = {},
): EhFrame {
  const letters = [...augmentation].map((c) => c.charCodeAt(0));
  const cie = record([
    ...u32(0),
    1,
    ...letters,
    0,
    1,
    0x78,
    1,
    ...(augmentation === '' ? [] : [data.length, ...data]),
    ...initial,
  ]);
  const at = cie.length + 8;
  const fde = record([
    ...u32(cie.length + 4),
    ...u32((CODE - (SECTION + at)) | 0),
    ...u32(CODE_BYTES),
    0,
    ...rules,
  ]);
  return { vaddr: SECTION, bytes: new Uint8Array([...cie, ...fde, ...u32(0)]) };
}

function row(frame: EhFrame, addr: number): CfiRow | null {
  const fde = findFde(parseEhFrame(frame), addr);
  assert.ok(fde !== null);
  return rowAt(frame, fde, addr);
}

/** Registers with sp = 0x7000 and ra = 0x4444, in a stack whose word at each address is the address + 1. */
function step(frame: EhFrame, addr: number): { result: number; registers: Registers } {
  const registers = newRegisters();
  registers[1] = 0x4444;
  registers[2] = 0x7000;
  registers[8] = 0x8000;
  const rules = row(frame, addr);
  assert.ok(rules !== null);
  const result = stepRow(frame, rules, registers, newRegisters(), (at) => at + 1);
  return { result, registers };
}

describe('parseEhFrame()', () => {
  it('finds code from its first byte to its last', () => {
    const table = parseEhFrame(section([]));
    assert.equal(table.fdes.length, 1);
    assert.equal(findFde(table, CODE - 1), null);
    assert.equal(findFde(table, CODE)?.vaddr, CODE);
    assert.equal(findFde(table, CODE + CODE_BYTES - 1)?.vaddr, CODE);
    assert.equal(findFde(table, CODE + CODE_BYTES), null);
  });

  it('knows the augmentations of compilers, and leaves out what it does not know', () => {
    const known = section([], { augmentation: 'zPLRS', data: [0x1b, 1, 2, 3, 4, 0x1b, 0x1b] });
    assert.equal(parseEhFrame(known).fdes[0]?.cie.signalFrame, true);
    assert.equal(parseEhFrame(section([], { augmentation: 'zX' })).fdes.length, 0);
    assert.equal(parseEhFrame(section([], { augmentation: 'eh' })).fdes.length, 0);
  });
});

describe('rowAt()', () => {
  // advance 4; def_cfa_offset 32; ra at CFA - 8; advance 4; s0 at CFA - 16; def_cfa s0, 0.
  const prologue = [0x44, 0x0e, 32, 0x81, 1, 0x44, 0x88, 2, 0x0c, 8, 0];

  it('has the rules of each instruction of a prologue', () => {
    const frame = section(prologue);
    const entry = step(frame, CODE);
    assert.deepEqual([entry.registers[PC], entry.registers[2]], [0x4444, 0x7000]);
    assert.equal(step(frame, CODE + 3).registers[PC], 0x4444);
    const pushed = step(frame, CODE + 4);
    assert.deepEqual([pushed.registers[PC], pushed.registers[2]], [0x7019, 0x7020]);
    const framed = step(frame, CODE + 8);
    assert.deepEqual(
      [framed.result, framed.registers[PC], framed.registers[2], framed.registers[8]],
      [STEP_CALLER, 0x7ff9, 0x8000, 0x7ff1],
    );
  });

  it('goes back to remembered and to initial rules', () => {
    // remember; the prologue; advance 4; restore state; advance 4; ra at CFA - 24; advance 4; restore ra.
    const frame = section([0x0a, ...prologue, 0x44, 0x0b, 0x44, 0x81, 3, 0x44, 0xc1]);
    assert.equal(step(frame, CODE + 8).registers[PC], 0x7ff9);
    assert.equal(step(frame, CODE + 12).registers[PC], 0x4444);
    assert.equal(step(frame, CODE + 16).registers[PC], 0x6fe9);
    assert.equal(step(frame, CODE + 20).registers[PC], 0x4444);
  });

  it('ends where the return address is undefined', () => {
    assert.equal(step(section([0x07, 1]), CODE).result, STEP_END);
  });

  it('evaluates expressions', () => {
    // CFA = *(sp + 16); ra at CFA + 8, by an expression; s1 is CFA - 1.
    const rules = [0x0f, 3, 0x72, 16, 0x06, 0x10, 1, 2, 0x23, 8, 0x16, 9, 2, 0x31, 0x1c];
    const { registers } = step(section(rules), CODE);
    assert.deepEqual([registers[2], registers[PC], registers[9]], [0x7011, 0x701a, 0x7010]);
  });

  it('gives up on expressions that make no sense', () => {
    for (const bad of [[0x06], [0x22], [0xff], [0x12, 0x12], []]) {
      const { result } = step(section([0x0f, bad.length, ...bad]), CODE);
      assert.equal(result, STEP_LOST, bad.join());
    }
  });

  it('has no rules where instructions are unknown, cut off or without their counterpart', () => {
    assert.equal(row(section([0x3f]), CODE), null);
    assert.equal(row(section([0x0b]), CODE), null);
    assert.equal(row(section([0x0f, 100]), CODE), null);
    assert.equal(row(section(new Array<number>(100).fill(0x0a)), CODE), null);
  });
});
