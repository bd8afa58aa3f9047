/** What the embedder's API throws. */

import { errnoName } from '../uapi/errno.ts';

export class CowshedError extends Error {
  override readonly name = 'CowshedError';
  /** Name of a Linux error (`ENOENT`) or of one of ours (`ERR_DISPOSED`). */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** `Cannot ACTION: explanation`, with the errno's name as code. */
export function errnoError(errno: number, action: string, explanation?: string): CowshedError {
  const code = errnoName(Math.abs(errno));
  return new CowshedError(code, `Cannot ${action}: ${explanation ?? describeErrno(code)}`);
}

const TEXT = new Map<string, string>([
  ['EPERM', 'operation not permitted'],
  ['ENOENT', 'no such file or directory'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'is a directory'],
  ['ENOTDIR', 'not a directory'],
  ['ENOEXEC', 'not a program this machine can run'],
  ['ELIBBAD', 'its interpreter is not a RISC-V ELF file'],
  ['EIO', 'its interpreter is too short'],
  ['ELOOP', 'too many levels of symbolic links or scripts'],
  ['E2BIG', 'arguments and environment are too large'],
  ['ENOMEM', 'the machine is out of memory'],
  ['EAGAIN', 'the machine has too many tasks'],
  ['EBUSY', 'an event listener is running'],
  ['EEXIST', 'it exists already'],
  ['EROFS', 'read-only file system'],
  ['ESRCH', 'no such process'],
  ['ENOSPC', 'no space left'],
  ['ENAMETOOLONG', 'the name is too long'],
]);

function describeErrno(code: string): string {
  return TEXT.get(code) ?? code;
}
