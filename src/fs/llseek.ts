/** Seeking. @linux fs/read_write.c:generic_file_llseek, fs/libfs.c:dcache_dir_lseek */

import { EINVAL } from '../uapi/errno.ts';
import { SEEK_CUR, SEEK_END, SEEK_SET } from '../uapi/fcntl.ts';
import type { File } from './fs_types.ts';

function seekTo(file: File, at: number): number {
  if (at < 0 || at > Number.MAX_SAFE_INTEGER) return -EINVAL;
  file.pos = at;
  return at;
}

/** @returns the new position or -EINVAL. */
export function genericFileLlseek(file: File, offset: number, whence: number): number {
  switch (whence) {
    case SEEK_SET:
      return seekTo(file, offset);
    case SEEK_CUR:
      return seekTo(file, file.pos + offset);
    case SEEK_END:
      return seekTo(file, file.inode.size + offset);
    default:
      return -EINVAL;
  }
}

/** Directories have no end to seek from. */
export function dirLlseek(file: File, offset: number, whence: number): number {
  if (whence === SEEK_SET) return seekTo(file, offset);
  return whence === SEEK_CUR ? seekTo(file, file.pos + offset) : -EINVAL;
}

/** /dev/null and kin are always at their start. @linux drivers/char/mem.c:null_lseek */
export function nullLlseek(file: File): number {
  file.pos = 0;
  return 0;
}

/** A position without meaning. */
export function noopLlseek(file: File): number {
  return file.pos;
}
