/** The build id that a linker puts into a program or library. @linux lib/buildid.c */

import { File } from '../fs/fs_types.ts';
import { fromHalves } from '../lib/bits.ts';
import type { VmFile } from '../mm/mm_types.ts';
import {
  E_PHNUM,
  E_PHOFF,
  E_TYPE,
  EHDR_BYTES,
  EI_CLASS,
  ELF_MAGIC,
  ELFCLASS64,
  ET_DYN,
  ET_EXEC,
  NHDR_BYTES,
  NT_GNU_BUILD_ID,
  P_FILESZ,
  P_OFFSET,
  P_TYPE,
  PHDR_BYTES,
  PT_NOTE,
} from '../uapi/elf.ts';
import { isReg } from '../uapi/stat.ts';
import { kernelRead } from './binfmt.ts';

/** Longest build id: a SHA-1. */
const BUILD_ID_SIZE_MAX = 20;
/** Program headers looked at. */
const MAX_PHDR_CNT = 256;
/** Bytes of a note segment looked at: notes are small, and the size is the file's claim. */
const NOTES_MAX = 4096;
const GNU_NAME = 'GNU\0';

/** `bytes` bytes of the file at `pos`, or null when they are not all there. */
function readAt(file: File, pos: number, bytes: number): Buffer | null {
  const buf = Buffer.alloc(bytes);
  return kernelRead(file, buf, pos) === bytes ? buf : null;
}

function align4(n: number): number {
  return Math.ceil(n / 4) * 4;
}

function buildIdOfNotes(notes: Buffer): Uint8Array | null {
  for (let at = 0; at + NHDR_BYTES <= notes.length; ) {
    const nameSize = notes.readUInt32LE(at);
    const descSize = notes.readUInt32LE(at + 4);
    const name = at + NHDR_BYTES;
    const desc = name + align4(nameSize);
    const end = desc + align4(descSize);
    if (desc + descSize > notes.length) return null;
    const isBuildId =
      notes.readUInt32LE(at + 8) === NT_GNU_BUILD_ID &&
      notes.toString('latin1', name, name + nameSize) === GNU_NAME;
    if (isBuildId && descSize > 0 && descSize <= BUILD_ID_SIZE_MAX) {
      return notes.subarray(desc, desc + descSize);
    }
    at = end;
  }
  return null;
}

function u64(buf: Buffer, at: number): number {
  return fromHalves(buf.readInt32LE(at), buf.readInt32LE(at + 4));
}

/** @returns the build id, or null when the file is no ELF64 program or library with one. @linux lib/buildid.c:build_id_parse_file */
export function buildIdParseFile(vmFile: VmFile): Uint8Array | null {
  if (!(vmFile instanceof File) || !isReg(vmFile.inode.mode)) return null;
  const head = readAt(vmFile, 0, EHDR_BYTES);
  if (head === null || head.readUInt32LE(0) !== ELF_MAGIC) return null;
  const type = head.readUInt16LE(E_TYPE);
  if (head[EI_CLASS] !== ELFCLASS64 || (type !== ET_EXEC && type !== ET_DYN)) return null;
  const phnum = Math.min(head.readUInt16LE(E_PHNUM), MAX_PHDR_CNT);
  const phdrs = readAt(vmFile, u64(head, E_PHOFF), phnum * PHDR_BYTES);
  if (phdrs === null) return null;
  for (let at = 0; at < phdrs.length; at += PHDR_BYTES) {
    if (phdrs.readUInt32LE(at + P_TYPE) !== PT_NOTE) continue;
    const size = Math.min(u64(phdrs, at + P_FILESZ), NOTES_MAX);
    const notes = readAt(vmFile, u64(phdrs, at + P_OFFSET), size);
    const id = notes === null ? null : buildIdOfNotes(notes);
    if (id !== null) return id;
  }
  return null;
}
