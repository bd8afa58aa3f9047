/** What exec knows about a program while it loads it. @linux include/linux/binfmts.h */

import type { File } from '../fs/fs_types.ts';
import { iovKernel } from '../mm/iov_iter.ts';

/** Bytes of a program looked at to tell its format. @linux BINPRM_BUF_SIZE */
export const BINPRM_BUF_SIZE = 256;

export interface LinuxBinprm {
  /** What will be mapped; replaced by the interpreter of a script. One reference. */
  file: File;
  /** Path as given to execve(): AT_EXECFN. */
  readonly filename: string;
  /** Path of `file`: what a further script gets as its name. */
  interp: string;
  argv: readonly string[];
  readonly envp: readonly string[];
  /** First bytes of `file`, zero-padded. */
  readonly buf: Uint8Array;
}

/**
 * Reads all of `buf` at `pos`.
 * @returns bytes read, short at the end of the file; or -errno.
 */
export function kernelRead(file: File, buf: Uint8Array, pos: number): number {
  const ops = file.fOps;
  if (ops.read === undefined) return 0;
  let done = 0;
  while (done < buf.length) {
    const n = ops.read(file, iovKernel(buf.subarray(done)), pos + done);
    if (n < 0) return n;
    if (n === 0) break;
    done += n;
  }
  return done;
}
