import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ElfSpec, elf, type Segment, TEXT } from '../elf.ts';
import { withMachine } from '../guest.ts';

const MEMORY = 64 * 1024 ** 2;
const interp = (path: string): readonly Segment[] => [
  { type: 3, offset: 0x1000, filesz: path.length + 1 },
  TEXT,
];
const pathBody = (path: string): Uint8Array => Buffer.from(`${path}\0`.padEnd(16, '\0'), 'latin1');

/** Images that execve() refuses: what the embedder is told. */
const REFUSED: Readonly<Record<string, readonly [Uint8Array, string, RegExp]>> = {
  'an empty file': [new Uint8Array(0), 'ENOEXEC', /: the file is empty$/],
  text: [Buffer.from('hello\n'), 'ENOEXEC', /: not an ELF file$/],
  'another machine': [
    elf({ machine: 62 }),
    'ENOEXEC',
    /: ELF machine is 62, want 243 \(EM_RISCV\)$/,
  ],
  '32 bits': [elf({ elfClass: 1 }), 'ENOEXEC', /: ELF class is 1, want 2 \(ELFCLASS64\)$/],
  'a relocatable object': [elf({ type: 1 }), 'ENOEXEC', /: ELF type is 1, want 2 or 3/],
  'a header that is cut off': [elf().subarray(0, 40), 'ENOEXEC', /headers are damaged$/],
  'no program headers': [elf({ segments: [] }), 'ENOEXEC', /headers are damaged$/],
  'program headers of another size': [elf({ phentsize: 32 }), 'ENOEXEC', /headers are damaged$/],
  'program headers past the end': [elf({ phoff: 0x10_0000 }), 'ENOEXEC', /headers are damaged$/],
  'program headers that wrap': [
    elf({ phoff: 0xffff_ffff_ffff_fff0n }),
    'ENOEXEC',
    /headers are damaged$/,
  ],
  'too many program headers': [elf({ phnum: 0xffff }), 'ENOEXEC', /headers are damaged$/],
  'a missing interpreter': [
    elf({ segments: interp('/lib/ld.so'), body: pathBody('/lib/ld.so') }),
    'ENOENT',
    /: its interpreter \/lib\/ld\.so does not exist$/,
  ],
  'a directory as interpreter': [
    elf({ segments: interp('/tmp'), body: pathBody('/tmp') }),
    'EACCES',
    /: its interpreter \/tmp cannot be used$/,
  ],
  'an interpreter without NUL': [
    elf({
      segments: [{ type: 3, offset: 0x1000, filesz: 4 }, TEXT],
      body: Buffer.from('/lib/ld.so', 'latin1'),
    }),
    'ENOEXEC',
    /headers are damaged$/,
  ],
  'a script without interpreter': [
    Buffer.from('#!\n'),
    'ENOEXEC',
    /first line names no interpreter$/,
  ],
  'a script with a missing interpreter': [
    Buffer.from('#!/nowhere\n'),
    'ENOENT',
    /the interpreter that its first line names does not exist$/,
  ],
  'a script that runs itself': [Buffer.from('#!/tmp/bad\n'), 'ELOOP', /levels of symbolic links/],
};

/** Images whose segments cannot be mapped: Linux kills the caller, the embedder is told. */
const FATAL: Readonly<Record<string, ElfSpec>> = {
  'no segment to load': { segments: [{ type: 4 }] },
  'a file part larger than the memory part': { segments: [{ filesz: 100, memsz: 50 }] },
  'a segment at the end of user space': {
    segments: [{ vaddr: 0x7fff_ffff_f000n, memsz: 0x10000 }],
  },
  'a segment beyond user space': { segments: [{ vaddr: 0x8000_0000_0000n }] },
  'a segment in kernel space': { segments: [{ vaddr: 0xffff_ffff_8000_0000n }] },
  'a segment that wraps': { segments: [{ vaddr: 0x1_0000, memsz: 0xffff_ffff_ffff_0000n }] },
  'a gigantic segment': { segments: [{ memsz: 0x7fff_0000_0000n }] },
  'an offset out of step with its address': { segments: [{ offset: 0x1010 }] },
  'a segment over the stack': { segments: [{ vaddr: 0x7fff_ffff_0000n, memsz: 0x2000 }] },
  'an entry outside user space': { entry: 0xffff_ffff_ffff_0000n },
};

describe('a program that cannot be run', () => {
  for (const [what, [image, code, message]] of Object.entries(REFUSED)) {
    it(`is refused: ${what}`, async () => {
      await withMachine({ memory: MEMORY }, async (machine) => {
        machine.writeFile('/tmp/bad', image, 0o755);
        const before = machine.leakedFrames();
        assert.throws(() => machine.spawn('/tmp/bad', ['bad']), { code, message });
        assert.equal(machine.leakedFrames(), before);
      });
    });
  }

  for (const [what, spec] of Object.entries(FATAL)) {
    it(`is refused where Linux would kill: ${what}`, async () => {
      await withMachine({ memory: MEMORY }, async (machine) => {
        machine.writeFile('/tmp/bad', elf(spec), 0o755);
        const before = machine.leakedFrames();
        assert.throws(() => machine.spawn('/tmp/bad', ['bad']), /Cannot load "\/tmp\/bad": /);
        assert.equal(machine.leakedFrames(), before);
      });
    });
  }

  it('is refused without permission, as a directory, or when it does not exist', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      machine.writeFile('/tmp/plain', elf(), 0o644);
      assert.throws(() => machine.spawn('/tmp/plain', ['x']), { code: 'EACCES' });
      assert.throws(() => machine.spawn('/tmp', ['x']), { code: 'EACCES' });
      assert.throws(() => machine.spawn('/tmp/none', ['x']), { code: 'ENOENT' });
      assert.throws(() => machine.spawn('/tmp/plain/x', ['x']), { code: 'ENOTDIR' });
    });
  });
});

describe('a program with odd but legal headers', () => {
  const LEGAL: Readonly<Record<string, ElfSpec>> = {
    'the smallest': {},
    'position-independent, without an interpreter': { type: 3 },
    'segments that overlap': { segments: [TEXT, { ...TEXT, flags: 5 }] },
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

  it('faults at once when its entry is not mapped', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      machine.writeFile('/tmp/wild', elf({ entry: 0x1234_0000 }), 0o755);
      const guest = machine.spawn('/tmp/wild', ['wild']);
      assert.deepEqual(await guest.wait(), { code: null, signal: 'SIGSEGV' });
    });
  });

  it('dies of SIGBUS when its text is not in the file', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const image = elf({ segments: [{ ...TEXT, offset: 0x9000 }] });
      machine.writeFile('/tmp/short', image, 0o755);
      const guest = machine.spawn('/tmp/short', ['short']);
      assert.deepEqual(await guest.wait(), { code: null, signal: 'SIGBUS' });
    });
  });
});
