import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { disassemble } from '../../../src/cpu/disasm.ts';
import { decode, ILLEGAL, newInsn } from '../../../src/cpu/decode.ts';
import { expand, NOT_COMPRESSED } from '../../../src/cpu/compressed.ts';

describe('expand()', () => {
  // Encodings from GNU as.
  const cases: readonly (readonly [number, string])[] = [
    [0x1141, 'addi sp, sp, -16'],
    [0x7179, 'addi sp, sp, -48'],
    [0x1008, 'addi a0, sp, 32'],
    [0xe022, 'sd s0, 0(sp)'],
    [0xe406, 'sd ra, 8(sp)'],
    [0x60a2, 'ld ra, 8(sp)'],
    [0x4502, 'lw a0, 0(sp)'],
    [0x6518, 'ld a4, 8(a0)'],
    [0xe518, 'sd a4, 8(a0)'],
    [0x4118, 'lw a4, 0(a0)'],
    [0xc118, 'sw a4, 0(a0)'],
    [0x2118, 'fld fa4, 0(a0)'],
    [0xa118, 'fsd fa4, 0(a0)'],
    [0x4501, 'addi a0, zero, 0'],
    [0x557d, 'addi a0, zero, -1'],
    [0x2505, 'addiw a0, a0, 1'],
    [0x6505, 'lui a0, 0x1'],
    [0x757d, 'lui a0, 0xfffff'],
    [0x050e, 'slli a0, a0, 3'],
    [0x9151, 'srli a0, a0, 52'],
    [0x8551, 'srai a0, a0, 20'],
    [0x8905, 'andi a0, a0, 1'],
    [0x8d0d, 'sub a0, a0, a1'],
    [0x8d2d, 'xor a0, a0, a1'],
    [0x8d4d, 'or a0, a0, a1'],
    [0x8d6d, 'and a0, a0, a1'],
    [0x9d0d, 'subw a0, a0, a1'],
    [0x9d2d, 'addw a0, a0, a1'],
    [0x852e, 'add a0, zero, a1'],
    [0x952e, 'add a0, a0, a1'],
    [0x8082, 'jalr zero, 0(ra)'],
    [0x9502, 'jalr ra, 0(a0)'],
    [0x9002, 'ebreak'],
    [0xbffd, 'jal zero, 0xffe'],
    [0xa001, 'jal zero, 0x1000'],
    [0xdd7d, 'beq a0, zero, 0xffe'],
    [0xe111, 'bne a0, zero, 0x1004'],
  ];
  for (const [half, text] of cases) {
    it(`makes 0x${half.toString(16)} "${text}"`, () => {
      assert.equal(disassemble(half, 0x1000), text);
    });
  }

  it('knows the reserved encodings', () => {
    // All zero; c.addi4spn 0; c.lui 0; c.addi16sp 0; c.addiw x0; c.lwsp x0; c.ldsp x0; c.jr x0.
    for (const half of [0x0000, 0x0008, 0x6501, 0x6101, 0x2001, 0x4002, 0x6002, 0x8002, 0x8000]) {
      assert.equal(expand(half), NOT_COMPRESSED);
      const insn = newInsn();
      decode(expand(half), insn);
      assert.equal(insn.row, ILLEGAL);
    }
  });
});
