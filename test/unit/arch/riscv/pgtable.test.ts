import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  LEVEL_PGD,
  LEVEL_PTE,
  levelIndex,
  LEVEL_SIZE,
  MAX_SWAPFILES,
  mkSwpPte,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_V,
  SWP_PTE_MARKER,
  swpOffset,
  swpType,
  type Pte,
} from '../../../../src/arch/riscv/pgtable.ts';

describe('entries that are not present', () => {
  it('keep type and offset whatever their flags say', () => {
    const types = fc.oneof(
      fc.integer({ min: 0, max: MAX_SWAPFILES - 1 }),
      fc.constant(SWP_PTE_MARKER),
    );
    const flags = fc.constantFrom(0, PTE_SWP_EXCLUSIVE, PTE_SWP_SOFT_DIRTY);
    fc.assert(
      fc.property(types, fc.integer({ min: 0, max: 2 ** 24 - 1 }), flags, (type, offset, flag) => {
        const pte = (mkSwpPte(type, offset) | flag) as Pte;
        assert.equal(pte & PTE_V, 0);
        assert.equal(swpType(pte), type);
        assert.equal(swpOffset(pte), offset);
      }),
    );
  });
});

describe('levelIndex()', () => {
  it('finds the entry whose range holds the address at every level', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 47 - 1 }), (addr) => {
        let base = 0;
        for (let level: number = LEVEL_PGD; level >= LEVEL_PTE; level--) {
          base += levelIndex(addr, level) * LEVEL_SIZE[level]!;
        }
        assert.ok(base <= addr && addr < base + LEVEL_SIZE[LEVEL_PTE]);
      }),
    );
  });
});
