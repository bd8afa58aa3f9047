/** Program files that cannot be run, each with what is wrong with it. */

import { type ElfSpec, elf, type Segment, TEXT } from '../elf.ts';

const interp = (path: string): readonly Segment[] => [
  { type: 3, offset: 0x1000, filesz: path.length + 1 },
  TEXT,
];
const pathBody = (path: string): Uint8Array => Buffer.from(`${path}\0`.padEnd(16, '\0'), 'latin1');

/** Images that execve() refuses: what the embedder is told. */
export const REFUSED: Readonly<Record<string, readonly [Uint8Array, string, RegExp]>> = {
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
export const FATAL: Readonly<Record<string, ElfSpec>> = {
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

/** Images that are loaded, as on Linux, and what then becomes of them. */
export const LOADED: Readonly<Record<string, readonly [ElfSpec, outcome: string, code: number]>> = {
  'segments that overlap': [{ segments: [TEXT, { ...TEXT, flags: 5 }] }, 'exit 7', 7],
  'an entry that is not mapped': [{ entry: 0x1234_0000 }, 'SIGSEGV', 139],
  'text beyond the end of the file': [{ segments: [{ ...TEXT, offset: 0x9000 }] }, 'SIGBUS', 135],
};
