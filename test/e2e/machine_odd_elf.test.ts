import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ElfSpec, elf, TEXT } from '../elf.ts';
import { withMachine } from '../guest.ts';

const MEMORY = 64 * 1024 ** 2;

describe('a program with odd but legal headers', () => {
  const LEGAL: Readonly<Record<string, ElfSpec>> = {
    'the smallest': {},
    'position-independent, without an interpreter': { type: 3 },
    'bss without a file part': {
      segments: [TEXT, { flags: 6, vaddr: 0x20_0000, filesz: 0, memsz: 0x3000 }],
    },
  };
  for (const [what, spec] of Object.entries(LEGAL)) {
    it(`runs: ${what}`, async () => {
      await withMachine({ memory: MEMORY }, async (machine) => {
        const entry = spec.type === 3 ? { entry: 0x1_0000 } : {};
        machine.writeFile('/tmp/good', elf({ ...spec, ...entry }), 0o755);
        const guest = machine.spawn('/tmp/good', ['good']);
        assert.deepEqual(await guest.wait(), { code: 7, signal: null });
        assert.equal(machine.leakedFrames(), 0);
      });
    });
  }
});
