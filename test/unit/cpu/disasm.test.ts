import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { disassemble } from '../../../src/cpu/disasm.ts';

describe('disassemble()', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0xff010113, 'addi sp, sp, -16'],
    [0x00813423, 'sd s0, 8(sp)'],
    [0xfe5216e3, 'bne tp, t0, 0xfec'],
    [0x12345537, 'lui a0, 0x12345'],
    [0x008000ef, 'jal ra, 0x1008'],
    [0x00008067, 'jalr zero, 0(ra)'],
    [0x43f5d513, 'srai a0, a1, 63'],
    [0x02b57553, 'fadd.d fa0, fa0, fa1'],
    [0xc2051553, 'fcvt.w.d a0, fa0, rtz'],
    [0x6ab57543, 'fmadd.d fa0, fa0, fa1, fa3'],
    [0x00301573, 'csrrw a0, fcsr, zero'],
    [0x3002d573, 'csrrwi a0, 0x300, 5'],
    [0x00b5252f, 'amoadd.w a0, a1, (a0)'],
    [0x1005352f, 'lr.d a0, (a0)'],
    [0x0ff0000f, 'fence'],
    [0x00000073, 'ecall'],
    [0x00008082, 'jalr zero, 0(ra)'],
    [0x0000, '.insn 0x0000'],
    [0xffffffff, '.insn 0xffffffff'],
  ];
  for (const [word, text] of cases) {
    it(`writes 0x${word.toString(16)} as "${text}"`, () => {
      assert.equal(disassemble(word, 0x1000), text);
    });
  }
});
