import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { guestProgram } from '../../../../src/bench/guest_files.ts';
import { newRegisters, rowAt, stepRow } from '../../../../src/machine/profile/cfi.ts';
import { parseEhFrame, type EhFrame } from '../../../../src/machine/profile/eh_frame.ts';
import { readElfFile, vaddrOfOffset } from '../../../../src/machine/profile/elf_file.ts';
import { findSymbol, symbolName } from '../../../../src/machine/profile/symbols.ts';
import { withMachine } from '../../../guest.ts';

const RUNS = 2000;
const program = new Uint8Array(guestProgram('call_chain'));
const bytesAt =
  (bytes: Uint8Array) =>
  (pos: number, n: number): Uint8Array =>
    bytes.slice(pos, pos + n);

interface Change {
  readonly at: number;
  readonly byte: number;
}

/** Changes of single bytes: extreme values more often than others. */
const changes = fc.array(
  fc.record({
    at: fc.nat(1_000_000),
    byte: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
  }),
  { minLength: 1, maxLength: 12 },
);

function changed(bytes: Uint8Array, list: readonly Change[]): Uint8Array {
  const copy = bytes.slice();
  for (const { at, byte } of list) copy[at % copy.length] = byte;
  return copy;
}

/** Uses all that a section says, with a stack of any content. */
function useAll(frame: EhFrame, word: number): void {
  for (const fde of parseEhFrame(frame).fdes.slice(0, 200)) {
    for (const part of [0, 0.5, 0.999]) {
      const row = rowAt(frame, fde, fde.vaddr + Math.floor(fde.size * part));
      if (row === null) continue;
      const registers = newRegisters().fill(word);
      stepRow(frame, row, registers, newRegisters(), (at) => (at % 3 === 0 ? Number.NaN : word));
    }
  }
}

describe('what a guest says about its own code', () => {
  const section = readElfFile(bytesAt(program))!.ehFrame!;

  it('may be random bytes', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 512 }), fc.double(), (bytes, word) =>
      useAll({ vaddr: 0x1000, bytes }, word),
    );
    fc.assert(property, { numRuns: RUNS });
  });

  it('may be call frame information with any bytes changed', () => {
    const property = fc.property(changes, fc.maxSafeInteger(), (list, word) =>
      useAll({ vaddr: section.vaddr, bytes: changed(section.bytes, list) }, word),
    );
    fc.assert(property, { numRuns: RUNS });
  });

  it('may be a program with any bytes changed, or cut anywhere', () => {
    const property = fc.property(changes, fc.nat(program.length), (list, length) => {
      for (const bytes of [changed(program, list), program.slice(0, length)]) {
        const elf = readElfFile(bytesAt(bytes));
        if (elf === null) continue;
        if (elf.ehFrame !== null) useAll(elf.ehFrame, 0x1_0000);
        for (let offset = 0; offset < bytes.length; offset += 16) {
          const symbol = findSymbol(elf.symbols, vaddrOfOffset(elf, offset));
          if (symbol !== null) symbolName(symbol);
        }
      }
    });
    fc.assert(property, { numRuns: RUNS / 4 });
  });

  it('does not keep a program from running', async () => {
    // Everything behind .text: section headers, symbols, call frame information.
    const tail = program.slice(section.vaddr - 0x1_0000);
    const start = program.length - tail.length;
    await withMachine({ memory: 64 * 1024 ** 2, profile: { interval: 1009 } }, async (machine) => {
      const lists = fc.sample(changes, { numRuns: 60, seed: 7 });
      for (const [i, list] of lists.entries()) {
        const bytes = program.slice();
        bytes.set(changed(tail, list), start);
        machine.writeFile(`/tmp/p${i}`, bytes, 0o755);
        assert.equal((await machine.spawn(`/tmp/p${i}`, ['p']).wait()).code, 0);
      }
      assert.equal(machine.leakedFrames(), 0);
      const { samples, stacks } = machine.profile()!;
      assert.ok(samples > 60 * 2000);
      assert.ok(stacks.every(({ frames }) => frames.length <= 258));
    });
  });
});
