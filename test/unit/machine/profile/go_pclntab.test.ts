import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { findGoFunction, parseGoTable } from '../../../../src/machine/profile/go_pclntab.ts';

const TEXT = 0x1_1000;
const NAMES = 0x48;
const PCTAB = 0x80;
const FUNCTAB = 0x100;
const QUANTUM = 2;

/** A table of two functions: main.f at 0 and runtime.goexit at 64. */
function goTable(): Uint8Array {
  const bytes = new Uint8Array(0x200);
  const view = new DataView(bytes.buffer);
  const words = (at: number, ...values: readonly number[]): void => {
    for (const [i, value] of values.entries()) view.setUint32(at + 4 * i, value, true);
  };
  view.setUint32(0, 0xffff_fff1, true);
  bytes.set([0, 0, QUANTUM, 8], 4);
  // Functions, files, text, names, two that are not looked at, pctab, functab.
  words(8, 2, 0, 0, 0, 0, 0, NAMES, 0, 0, 0, 0, 0, PCTAB, 0, FUNCTAB);
  bytes.set(Buffer.from('main.f\0runtime.goexit\0'), NAMES);
  // Frame size 0 for 8 bytes, 48 for 48 bytes, 0 for 8; zigzag, from -1.
  bytes.set([2, 4, 96, 24, 95, 4, 0], PCTAB + 1);
  words(FUNCTAB, 0, 0x40, 64, 0x60, 80);
  words(FUNCTAB + 0x40, 0, 0, 0, 0, 1);
  words(FUNCTAB + 0x60, 64, 7, 0, 0, 0);
  return bytes;
}

describe('findGoFunction()', () => {
  const table = parseGoTable(goTable(), TEXT)!;

  it('has the name and the frame size of each place', () => {
    const sizes = [0, 7, 8, 55, 56, 63].map((offset) => {
      const fn = findGoFunction(table, TEXT + offset)!;
      assert.deepEqual([fn.name, fn.vaddr, fn.outermost], ['main.f', TEXT, false]);
      return fn.frameSize;
    });
    assert.deepEqual(sizes, [0, 0, 48, 48, 0, 0]);
    assert.equal(findGoFunction(table, TEXT - 1), null);
  });

  it('knows where the stack of a goroutine begins', () => {
    assert.deepEqual(findGoFunction(table, TEXT + 66), {
      vaddr: TEXT + 64,
      name: 'runtime.goexit',
      frameSize: 0,
      outermost: true,
    });
  });

  it('refuses other tables', () => {
    for (const [at, byte] of [
      [0, 0],
      [7, 4],
      [8, 0xff],
    ] as const) {
      const bytes = goTable();
      bytes[at] = byte;
      assert.equal(parseGoTable(bytes, TEXT), null);
    }
    assert.equal(parseGoTable(goTable().slice(0, 20), TEXT), null);
  });

  it('bears any bytes', () => {
    const change = fc.record({ at: fc.nat(0x1ff), byte: fc.nat(255) });
    const property = fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const bytes = goTable();
      for (const { at, byte } of changes) bytes[at] = byte;
      const changed = parseGoTable(bytes, TEXT);
      if (changed === null) return;
      for (let offset = 0; offset < 100; offset++) findGoFunction(changed, TEXT + offset);
    });
    fc.assert(property, { numRuns: 2000 });
  });
});
