/**
 * The stack a program starts on: argc, argv, envp and the auxiliary vector, with the strings
 * above them.
 *
 *     STACK_TOP - 8   0
 *                     execfn, envp and argv strings (argv lowest)
 *                     16 random bytes, platform name
 *     16-aligned      auxv pairs, AT_NULL last
 *                     envp pointers, 0
 *                     argv pointers, 0
 *     sp              argc
 *
 * @linux fs/binfmt_elf.c:create_elf_tables, fs/exec.c:copy_strings
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignDown } from '../arch/riscv/pgtable.ts';
import { TWO32 } from '../lib/bits.ts';
import { doMmap } from '../mm/mmap.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { copyToUser } from '../mm/uaccess.ts';
import {
  AT_BASE,
  AT_CLKTCK,
  AT_EGID,
  AT_ENTRY,
  AT_EUID,
  AT_EXECFN,
  AT_FLAGS,
  AT_GID,
  AT_HWCAP,
  AT_MINSIGSTKSZ,
  AT_NULL,
  AT_PAGESZ,
  AT_PHDR,
  AT_PHENT,
  AT_PHNUM,
  AT_RANDOM,
  AT_SECURE,
  AT_UID,
  HWCAP_RV64GC,
  PHDR_BYTES,
} from '../uapi/elf.ts';
import { E2BIG, EFAULT, ENOMEM } from '../uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_STACK,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../uapi/mman.ts';
import { SIGFRAME_BYTES } from '../uapi/signal.ts';
import { USER_HZ } from '../uapi/time.ts';
import type { ElfImage, LoadedElf } from './binfmt_elf.ts';
import type { Kernel } from './kernel.ts';
import type { Cred } from './task.ts';
import { STACK_TOP } from './vdso.ts';

/** Bytes of a pointer. */
export const POINTER = 8;
const RANDOM_BYTES = 16;
const STACK_ALIGN = 16;
/** Longest single string, its NUL included. @linux MAX_ARG_STRLEN */
export const MAX_ARG_STRLEN = 32 * PAGE_SIZE;
/** Bytes that strings and pointers may always take. @linux ARG_MAX */
const ARG_MAX = 131_072;
/** Most that strings and pointers can take: three quarters of the default stack, in bytes. @linux bprm_stack_limits */
export const ARG_STRINGS_MAX = 6 * 1024 * 1024;
/** Room below the first stack pointer mapped at once. @linux setup_arg_pages stack_expand */
const STACK_EXPAND = 128 * 1024;

/** What goes on the stack. */
export interface StackContents {
  readonly filename: string;
  readonly argv: readonly string[];
  readonly envp: readonly string[];
}

/** Bytes of the strings with their NULs, -E2BIG when one or all are too large. */
export function checkStrings(what: StackContents, stackLimit: number): number {
  let bytes = what.filename.length + 1;
  for (const list of [what.argv, what.envp]) {
    for (const text of list) {
      if (text.length + 1 > MAX_ARG_STRLEN) return -E2BIG;
      bytes += text.length + 1;
    }
  }
  const pointers = (what.argv.length + what.envp.length) * POINTER;
  const limit = Math.max(Math.min(ARG_STRINGS_MAX, stackLimit / 4), ARG_MAX);
  return bytes + pointers > limit ? -E2BIG : bytes;
}

/** Maps the first stack. @returns 0 or -errno. */
export function mapStack(mm: MmStruct, stringBytes: number, executable: boolean): number {
  const want = stringBytes + STACK_EXPAND;
  const room = Math.min(want, Math.max(mm.limits.stack, stringBytes + 2 * PAGE_SIZE));
  const bottom = pageAlignDown(STACK_TOP - room);
  const prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK;
  const addr = doMmap(mm, bottom, STACK_TOP - bottom, prot, flags, null, 0);
  if (addr < 0) return addr;
  mm.startStack = STACK_TOP;
  return 0;
}

/** Fills a buffer that ends at STACK_TOP, from the top down. */
class StackWriter {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  /** Address of the lowest byte written. */
  sp = STACK_TOP;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  offset(addr: number): number {
    return this.bytes.length - (STACK_TOP - addr);
  }

  push(n: number): number {
    this.sp -= n;
    return this.sp;
  }

  string(text: string): number {
    const addr = this.push(text.length + 1);
    Buffer.from(this.bytes.buffer).write(text, this.offset(addr), 'latin1');
    return addr;
  }

  word(addr: number, value: number): void {
    const at = this.offset(addr);
    this.view.setUint32(at, value % TWO32, true);
    this.view.setUint32(at + 4, Math.floor(value / TWO32), true);
  }
}

function auxiliaryVector(
  image: ElfImage,
  loaded: LoadedElf,
  interpBase: number,
  cred: Cred,
  execfn: number,
  random: number,
): number[] {
  const secure = cred.uid !== cred.euid || cred.gid !== cred.egid;
  return [
    [AT_HWCAP, HWCAP_RV64GC],
    [AT_PAGESZ, PAGE_SIZE],
    [AT_CLKTCK, USER_HZ],
    [AT_PHDR, loaded.phdrAddr],
    [AT_PHENT, PHDR_BYTES],
    [AT_PHNUM, image.phdrs.length],
    [AT_BASE, interpBase],
    [AT_FLAGS, 0],
    [AT_ENTRY, loaded.entry],
    [AT_UID, cred.uid],
    [AT_EUID, cred.euid],
    [AT_GID, cred.gid],
    [AT_EGID, cred.egid],
    [AT_SECURE, secure ? 1 : 0],
    [AT_RANDOM, random],
    [AT_EXECFN, execfn],
    [AT_MINSIGSTKSZ, SIGFRAME_BYTES],
    [AT_NULL, 0],
  ].flat();
}

/**
 * Writes the whole initial stack.
 * @param interpBase where the interpreter was loaded, 0 without one.
 * @returns the stack pointer, or -EFAULT / -ENOMEM.
 */
export function createElfTables(
  kernel: Kernel,
  mm: MmStruct,
  what: StackContents,
  image: ElfImage,
  loaded: LoadedElf,
  interpBase: number,
  cred: Cred,
): number {
  const { argv, envp } = what;
  let strings = what.filename.length + 1;
  for (const text of argv) strings += text.length + 1;
  for (const text of envp) strings += text.length + 1;
  const words = argv.length + envp.length + 64;
  const out = new StackWriter(strings + words * POINTER + 256);
  out.push(POINTER);
  const execfn = out.string(what.filename);
  mm.envEnd = execfn;
  const envPointers = envp.map(() => 0);
  for (let i = envp.length - 1; i >= 0; i--) envPointers[i] = out.string(envp[i]!);
  mm.envStart = out.sp;
  mm.argEnd = out.sp;
  const argPointers = argv.map(() => 0);
  for (let i = argv.length - 1; i >= 0; i--) argPointers[i] = out.string(argv[i]!);
  mm.argStart = out.sp;
  const random = out.push(RANDOM_BYTES + (out.sp % STACK_ALIGN));
  kernel.random.fill(out.bytes.subarray(out.offset(random), out.offset(random) + RANDOM_BYTES));
  const auxv = auxiliaryVector(image, loaded, interpBase, cred, execfn, random);
  mm.savedAuxv = auxv;
  const vector = [argv.length, ...argPointers, 0, ...envPointers, 0, ...auxv];
  const bytes = vector.length * POINTER;
  out.push(bytes + ((out.sp - bytes) % STACK_ALIGN));
  for (let i = 0; i < vector.length; i++) out.word(out.sp + i * POINTER, vector[i]!);
  const image0 = out.bytes.subarray(out.offset(out.sp));
  const err = copyToUser(mm, out.sp, image0);
  if (err === -EFAULT) return -ENOMEM;
  return err < 0 ? err : out.sp;
}
